// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <future>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <utility>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "lab/attempt_log.h"
#include "lab/network.h"
#include "telemetry/address.h"

/// What servers and clients of the lab are made of. Threads: all.
namespace tidewaiter::lab {

struct Endpoint {
  telemetry::Address address = telemetry::Address::v4(0x7f000001);
  std::uint16_t port = 9'000;
};

/// An endpoint as the kernel takes it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
};

[[nodiscard]] SocketAddress socket_address(const Endpoint& endpoint);

/// The same for an IPv6 socket: an IPv4 endpoint in its v4-mapped form.
[[nodiscard]] SocketAddress ipv6_socket_address(const Endpoint& endpoint);

/// A TCP socket of the endpoint's family in the calling thread's network; `flags` as for socket().
[[nodiscard]] base::FileDescriptor open_socket(const Endpoint& endpoint, int flags);

/// The port that the kernel or bind() gave; 0 when there is none.
[[nodiscard]] std::uint16_t local_port_of(const base::FileDescriptor& socket);

/// A blocking connect, logged; an open descriptor when it connected.
[[nodiscard]] base::FileDescriptor connect_logged(const Endpoint& server, AttemptLog& log);

/// One byte there and back, within a second.
[[nodiscard]] bool exchange(const base::FileDescriptor& socket);

void close_by_reset(base::FileDescriptor socket);

/// Raises the limit of open descriptors of this process as far as it goes.
void allow_many_descriptors();

/// Starts `work` on a thread inside `network`; returns when the thread is there. Errors: that it could not go there.
template <class Work>
base::Result<std::thread> start_inside(const Network& network, Work work) {
  std::promise<base::Result<void>> entered;
  auto outcome = entered.get_future();
  std::thread thread([&network, &entered, work = std::move(work)] {
    bool is_inside = false;
    auto done = network.run([&]() -> base::Result<void> {
      is_inside = true;
      entered.set_value({});
      work();
      return {};
    });
    if (!is_inside) entered.set_value(std::move(done));
  });
  if (auto result = outcome.get(); !result) {
    thread.join();
    return tl::unexpected(result.error());
  }
  return thread;
}
}  // namespace tidewaiter::lab
