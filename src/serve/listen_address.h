// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/socket.h>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace tidewaiter::serve {

/// Where to listen: a numeric address and a port; port 0 lets the kernel choose one.
struct ListenAddress {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;

  /// "127.0.0.1:9650", "[::1]:9650".
  [[nodiscard]] std::string text() const;

  /// Errors: kInvalidArgument, with the forms that are allowed.
  [[nodiscard]] static base::Result<ListenAddress> parse(std::string_view text);
};

/// A listening socket, non-blocking. A second one on the same address fails: SO_REUSEPORT is not set.
/// Errors: kNotPermitted when the address is not loopback, or the port not for this user; kUnavailable when it is in
/// use or not there, naming it and --listen.
[[nodiscard]] base::Result<base::FileDescriptor> listen_on(const ListenAddress& address);

/// The address that a socket is bound to.
[[nodiscard]] ListenAddress bound_address(const base::FileDescriptor& socket);

/// Whether a Host header ("localhost:9650") names this machine itself. A page from elsewhere whose name was made to
/// point here (DNS rebinding) sends its own name.
[[nodiscard]] bool names_loopback(std::string_view host);

}  // namespace tidewaiter::serve
