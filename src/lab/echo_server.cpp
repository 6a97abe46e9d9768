// SPDX-License-Identifier: Apache-2.0
#include "lab/echo_server.h"

#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

namespace tidewaiter::lab {
namespace {

constexpr int kBacklog = 4'096;

}  // namespace

base::Result<base::FileDescriptor> listen_on(const Endpoint& endpoint, const ListenOptions& options) {
  const SocketAddress at = socket_address(endpoint);
  base::FileDescriptor listener(::socket(at.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                                         options.protocol == Protocol::kMptcp ? IPPROTO_MPTCP : 0));
  if (!listener.is_open()) return base::fail_errno(errno, "open a listener");
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (options.fast_open) setsockopt(listener.get(), IPPROTO_TCP, TCP_FASTOPEN, &kBacklog, sizeof kBacklog);
  if (::bind(listener.get(), at.get(), at.length) != 0 || ::listen(listener.get(), kBacklog) != 0) {
    return base::fail_errno(errno, "listen on " + telemetry::endpoint_to_string(endpoint.address, endpoint.port));
  }
  return listener;
}

base::Result<std::unique_ptr<EchoServer>> EchoServer::start(const Network& network, const Endpoint& endpoint,
                                                            const ListenOptions& options) {
  auto server = std::unique_ptr<EchoServer>(new EchoServer);
  auto listening = network.run([&]() -> base::Result<void> {
    auto listener = listen_on(endpoint, options);
    if (!listener) return tl::unexpected(listener.error());
    server->listener_ = std::move(*listener);
    return {};
  });
  if (!listening) return tl::unexpected(listening.error());
  server->events_ = base::FileDescriptor(epoll_create1(EPOLL_CLOEXEC));
  server->stop_ = base::FileDescriptor(eventfd(0, EFD_CLOEXEC));
  for (const int watched : {server->listener_.get(), server->stop_.get()}) {
    epoll_event event{EPOLLIN, {.fd = watched}};
    epoll_ctl(server->events_.get(), EPOLL_CTL_ADD, watched, &event);
  }
  server->thread_ = std::thread([self = server.get()] { self->serve(); });
  return server;
}

EchoServer::~EchoServer() {
  eventfd_write(stop_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

void EchoServer::serve() {
  std::array<epoll_event, 256> ready;
  while (true) {
    const int count = epoll_wait(events_.get(), ready.data(), static_cast<int>(ready.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int descriptor = ready[static_cast<std::size_t>(i)].data.fd;
      if (descriptor == stop_.get()) return;
      descriptor == listener_.get() ? accept_all() : echo(descriptor);
    }
  }
}

void EchoServer::accept_all() {
  while (true) {
    base::FileDescriptor connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!connection.is_open()) return;
    epoll_event event{EPOLLIN, {.fd = connection.get()}};
    epoll_ctl(events_.get(), EPOLL_CTL_ADD, connection.get(), &event);
    const auto place = static_cast<std::size_t>(connection.get());
    if (connections_.size() <= place) connections_.resize(place + 1);
    connections_[place] = std::move(connection);
  }
}

void EchoServer::echo(int connection) {
  std::array<char, 4'096> buffer;
  const ssize_t length = ::recv(connection, buffer.data(), buffer.size(), 0);
  if (length > 0) {
    [[maybe_unused]] const ssize_t sent =
        ::send(connection, buffer.data(), static_cast<std::size_t>(length), MSG_NOSIGNAL);
  } else if (length == 0 || errno != EAGAIN) {
    connections_[static_cast<std::size_t>(connection)].reset();
  }
}
}  // namespace tidewaiter::lab
