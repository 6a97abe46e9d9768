// SPDX-License-Identifier: Apache-2.0
#include "board/agent_socket.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/epoll.h>

#include "board/process_identity.h"

namespace tidewaiter::board {
namespace {

constexpr std::size_t kEventsAtATime = 32;
constexpr mode_t kModeOfPath = 0666;  // connecting needs the right to write; there is nothing else to write to

tw_hello hello_of(base::Nanoseconds interval) {
  const ProcessIdentity identity = own_identity();
  tw_hello hello{};
  hello.magic = TW_HELLO_MAGIC;
  hello.version = TW_HELLO_VERSION;
  hello.size = sizeof hello;
  hello.interval_ns = interval.count();
  hello.time_namespace = identity.time_namespace;
  identity.boot_id.copy(hello.boot_id, sizeof hello.boot_id - 1);
  hello.descriptor_kinds[0] = TW_DESCRIPTOR_PARAMETER_BLOCK;
  return hello;
}

}  // namespace

std::vector<base::Setting> AgentSocket::settings_of(Options& options) {
  return {{"board.max_clients", "connections",
           "Clients whose connection is kept; further ones get the parameter block as well, but are not counted.",
           base::Setting::Whole{&options.max_clients, 1, 65'536}}};
}

base::Result<AgentSocket> AgentSocket::listen(const Options& options, const ParameterBlockWriter& block) {
  base::FileDescriptor handed(fcntl(block.descriptor(), F_DUPFD_CLOEXEC, 0));
  base::FileDescriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!handed.is_open() || !epoll.is_open()) return base::fail_errno(errno, "descriptors for the agent's socket");
  auto listener = UnixListener::listen(options.path, kModeOfPath);
  if (!listener) return tl::unexpected(std::move(listener).error());
  if (auto watched = watch(epoll, listener->descriptor(), EPOLLIN); !watched) {
    return tl::unexpected(std::move(watched).error());
  }
  AgentSocket result(std::move(*listener));
  result.options_ = options;
  result.hello_ = hello_of(block.interval());
  result.block_ = std::move(handed);
  result.epoll_ = std::move(epoll);
  return result;
}

void AgentSocket::on_readable() {
  std::array<epoll_event, kEventsAtATime> events{};
  const int ready = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < ready; ++i) {
    const int descriptor = events[static_cast<std::size_t>(i)].data.fd;
    if (descriptor == listener_.descriptor()) {
      counters_.failed += listener_.accept_some([this](base::FileDescriptor client) { greet(std::move(client)); });
    } else {
      clients_.erase(descriptor);  // only a hang-up is waited for; closing takes it out of the epoll
    }
  }
}

void AgentSocket::greet(base::FileDescriptor client) {
  if (!send_message(client.get(), &hello_, sizeof hello_, block_.get())) {
    ++counters_.failed;
    return;
  }
  ++counters_.greeted;
  const int descriptor = client.get();
  if (clients_.size() >= options_.max_clients || !watch(epoll_, descriptor, EPOLLRDHUP)) {
    ++counters_.not_kept;
    return;
  }
  clients_.emplace(descriptor, std::move(client));
}

}  // namespace tidewaiter::board
