// SPDX-License-Identifier: Apache-2.0
#include "kernel/testing/private_network.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace tidewaiter::kernel::testing {
namespace {

#ifndef IP_LOCAL_PORT_RANGE
constexpr int IP_LOCAL_PORT_RANGE = 51;  // Linux 6.3
#endif

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress socket_address(const telemetry::Address& address, std::uint16_t port, bool as_ipv6) {
  SocketAddress result;
  if (address.is_v4() && !as_ipv6) {
    auto* const four = reinterpret_cast<sockaddr_in*>(&result.storage);
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    std::memcpy(&four->sin_addr, address.bytes().data() + 12, 4);
    result.length = sizeof *four;
  } else {
    auto* const six = reinterpret_cast<sockaddr_in6*>(&result.storage);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    std::memcpy(&six->sin6_addr, address.bytes().data(), 16);
    result.length = sizeof *six;
  }
  return result;
}

base::FileDescriptor open_socket(const telemetry::Address& address, bool as_ipv6) {
  return base::FileDescriptor(
      ::socket(address.is_v4() && !as_ipv6 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

void enable(const base::FileDescriptor& socket, int level, int option) {
  const int on = 1;
  setsockopt(socket.get(), level, option, &on, sizeof on);
}

bool bring_loopback_up() {
  const base::FileDescriptor control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");  // NOLINT: fits
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ioctl(control.get(), SIOCSIFFLAGS, &request) == 0;
}

}  // namespace

base::Result<PrivateNetwork> PrivateNetwork::create() {
  base::FileDescriptor home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home.is_open()) return base::fail_errno(errno, "open the own network namespace");
  if (unshare(CLONE_NEWNET) != 0) return base::fail_errno(errno, "make a network namespace (needs root)");
  PrivateNetwork network(std::move(home));
  if (!bring_loopback_up()) return base::fail_errno(errno, "bring loopback up");
  return network;
}

PrivateNetwork::~PrivateNetwork() {
  if (home_.is_open() && setns(home_.get(), CLONE_NEWNET) != 0) {
    std::perror("cannot leave the private network");
    std::abort();
  }
}

base::Result<void> PrivateNetwork::set(std::string_view name, std::string_view value) const {
  const std::string path = "/proc/sys/" + std::string(name);
  const base::FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.is_open()) return base::fail_errno(errno, path);
  if (::write(file.get(), value.data(), value.size()) < 0) return base::fail_errno(errno, path);
  return {};
}

void allow_many_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

base::Result<base::FileDescriptor> listen_on(const telemetry::Address& address, std::uint16_t port, int backlog,
                                             bool share_port) {
  base::FileDescriptor socket = open_socket(address, false);
  enable(socket, SOL_SOCKET, SO_REUSEADDR);
  if (share_port) enable(socket, SOL_SOCKET, SO_REUSEPORT);
  const SocketAddress at = socket_address(address, port, false);
  if (::bind(socket.get(), at.get(), at.length) != 0) return base::fail_errno(errno, "bind");
  if (::listen(socket.get(), backlog) != 0) return base::fail_errno(errno, "listen");
  return socket;
}

base::Result<base::FileDescriptor> connect_to(const telemetry::Address& address, std::uint16_t port,
                                              const ConnectOptions& options) {
  base::FileDescriptor socket = open_socket(address, options.use_ipv6_socket);
  if (options.is_non_blocking) fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  if (options.pinned_port) {
    const std::uint32_t range = std::uint32_t{*options.pinned_port} << 16 | *options.pinned_port;
    if (setsockopt(socket.get(), SOL_IP, IP_LOCAL_PORT_RANGE, &range, sizeof range) != 0) {
      return base::fail_errno(errno, "IP_LOCAL_PORT_RANGE");
    }
  }
  if (options.source || options.bound_port) {
    if (!options.bound_port) enable(socket, SOL_IP, IP_BIND_ADDRESS_NO_PORT);
    const telemetry::Address any = address.is_v4() ? telemetry::Address::v4(0) : telemetry::Address();
    const SocketAddress from =
        socket_address(options.source.value_or(any), options.bound_port.value_or(0), options.use_ipv6_socket);
    if (::bind(socket.get(), from.get(), from.length) != 0) return base::fail_errno(errno, "bind");
  }
  const SocketAddress to = socket_address(address, port, options.use_ipv6_socket);
  if (::connect(socket.get(), to.get(), to.length) != 0 && errno != EINPROGRESS)
    return base::fail_errno(errno, "connect");
  return socket;
}

base::Result<base::FileDescriptor> accept_from(const base::FileDescriptor& listener) {
  base::FileDescriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket.is_open()) return base::fail_errno(errno, "accept");
  return socket;
}

base::Result<base::FileDescriptor> bind_only(const telemetry::Address& address, std::uint16_t port) {
  base::FileDescriptor socket = open_socket(address, false);
  const SocketAddress at = socket_address(address, port, false);
  if (::bind(socket.get(), at.get(), at.length) != 0) return base::fail_errno(errno, "bind");
  return socket;
}

std::uint16_t local_port_of(const base::FileDescriptor& socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&address)->sin_port
                                            : reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
}

void close_by_reset(base::FileDescriptor socket) {
  const linger now{1, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  socket.reset();
}

}  // namespace tidewaiter::kernel::testing
