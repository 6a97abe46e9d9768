// SPDX-License-Identifier: Apache-2.0
#include "lab/client_socket.h"

#include <cerrno>
#include <cstring>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lab/clock.h"

namespace tidewaiter::lab {
namespace {

constexpr timeval kAnswerTimeout{1, 0};

}  // namespace

SocketAddress ipv6_socket_address(const Endpoint& endpoint) {
  SocketAddress result;
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(endpoint.port);
  std::memcpy(&address.sin6_addr, endpoint.address.bytes().data(), sizeof address.sin6_addr);
  std::memcpy(&result.storage, &address, sizeof address);
  result.length = sizeof address;
  return result;
}

SocketAddress socket_address(const Endpoint& endpoint) {
  if (!endpoint.address.is_v4()) return ipv6_socket_address(endpoint);
  SocketAddress result;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  std::memcpy(&address.sin_addr, endpoint.address.bytes().data() + 12, sizeof address.sin_addr);
  std::memcpy(&result.storage, &address, sizeof address);
  result.length = sizeof address;
  return result;
}

base::FileDescriptor open_socket(const Endpoint& endpoint, int flags) {
  const int family = endpoint.address.is_v4() ? AF_INET : AF_INET6;
  return base::FileDescriptor(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}

std::uint16_t local_port_of(const base::FileDescriptor& socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  sockaddr_in internet{};  // IPv6 has its port in the same place
  std::memcpy(&internet, &address, sizeof internet);
  return ntohs(internet.sin_port);
}

base::FileDescriptor connect_logged(const Endpoint& server, AttemptLog& log) {
  base::FileDescriptor socket = open_socket(server, 0);
  const SocketAddress to = socket_address(server);
  Attempt attempt{read_clock(), {}, 0, 0};
  const bool is_connected = socket.is_open() && ::connect(socket.get(), to.get(), to.length) == 0;
  attempt.error = is_connected ? 0 : errno;
  attempt.took = read_clock() - attempt.at;
  if (is_connected) {
    attempt.local_port = local_port_of(socket);
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kAnswerTimeout, sizeof kAnswerTimeout);
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  } else {
    socket.reset();
  }
  log.add(attempt);
  return socket;
}

bool exchange(const base::FileDescriptor& socket) {
  char byte = 'x';
  return ::send(socket.get(), &byte, 1, MSG_NOSIGNAL) == 1 && ::recv(socket.get(), &byte, 1, 0) == 1;
}

void close_by_reset(base::FileDescriptor socket) {
  const linger now{1, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  socket.reset();
}

void allow_many_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}
}  // namespace tidewaiter::lab
