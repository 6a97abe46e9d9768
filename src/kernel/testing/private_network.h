// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "telemetry/address.h"

namespace tidewaiter::kernel::testing {

/// The calling thread inside an anonymous network namespace with loopback up, for as long as this lives. Nothing is
/// left behind: the namespace goes with its last socket. Needs root (kNotPermitted otherwise: skip the test).
class PrivateNetwork {
 public:
  [[nodiscard]] static base::Result<PrivateNetwork> create();
  PrivateNetwork(PrivateNetwork&&) = default;
  PrivateNetwork& operator=(PrivateNetwork&&) = delete;
  ~PrivateNetwork();

  /// Writes a setting of this namespace: set("net/ipv4/ip_local_port_range", "40000 41999").
  [[nodiscard]] base::Result<void> set(std::string_view name, std::string_view value) const;

 private:
  explicit PrivateNetwork(base::FileDescriptor home) : home_(std::move(home)) {}
  base::FileDescriptor home_;
};

/// Raises the limit of open descriptors as far as it goes.
void allow_many_descriptors();

/// How a test socket comes by its local port.
struct ConnectOptions {
  std::optional<std::uint16_t> pinned_port;  ///< by IP_LOCAL_PORT_RANGE = [p, p]: locks nothing (Linux 6.3+)
  std::optional<std::uint16_t> bound_port;   ///< by bind(): locks the port for every destination
  std::optional<telemetry::Address> source;
  bool use_ipv6_socket = false;  ///< IPv4 destinations through a dual-stack socket, v4-mapped
  bool is_non_blocking = false;
};

/// Sockets in the calling thread's namespace. Errors carry errno.
[[nodiscard]] base::Result<base::FileDescriptor> listen_on(const telemetry::Address& address, std::uint16_t port,
                                                           int backlog, bool share_port = false);
[[nodiscard]] base::Result<base::FileDescriptor> connect_to(const telemetry::Address& address, std::uint16_t port,
                                                            const ConnectOptions& options = {});
[[nodiscard]] base::Result<base::FileDescriptor> accept_from(const base::FileDescriptor& listener);
[[nodiscard]] base::Result<base::FileDescriptor> bind_only(const telemetry::Address& address, std::uint16_t port);

/// The local port of a socket; 0 when it has none.
[[nodiscard]] std::uint16_t local_port_of(const base::FileDescriptor& socket);

/// Closes by RST: no TIME_WAIT stays.
void close_by_reset(base::FileDescriptor socket);

}  // namespace tidewaiter::kernel::testing
