// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <libmnl/libmnl.h>
#include <string>

#include "base/result.h"
#include "telemetry/address.h"

namespace tidewaiter::lab {

/// A request to rtnetlink as it is put together; attributes go in with libmnl's functions.
class RouteRequest {
 public:
  /// `flags` beside NLM_F_REQUEST and NLM_F_ACK, as for netlink(7).
  RouteRequest(std::uint16_t type, std::uint16_t flags);
  RouteRequest(const RouteRequest&) = delete;
  RouteRequest& operator=(const RouteRequest&) = delete;

  [[nodiscard]] nlmsghdr* message() const { return message_; }

  /// Asks the calling thread's network and waits for the answer. Errors: the kernel's, after `what`.
  [[nodiscard]] base::Result<void> send(const std::string& what);

 private:
  alignas(nlmsghdr) std::array<char, 4096> buffer_{};
  nlmsghdr* message_;
};

/// Gives an interface of the calling thread's network an address, usable at once, and brings it up.
[[nodiscard]] base::Result<void> set_up_interface(const char* name, const telemetry::Address& address,
                                                  std::uint8_t prefix);

/// Routes that let nothing through: connect() fails before the first packet. In this order with EHOSTUNREACH, EACCES
/// and EINVAL.
enum class DeadRoute : std::uint8_t { kUnreachable, kProhibited, kBlackhole };

/// Adds one for a single address in the calling thread's network.
[[nodiscard]] base::Result<void> add_dead_route(const telemetry::Address& to, DeadRoute kind);

}  // namespace tidewaiter::lab
