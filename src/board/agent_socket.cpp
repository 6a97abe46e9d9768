// SPDX-License-Identifier: Apache-2.0
#include "board/agent_socket.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/process_identity.h"
#include "board/unix_address.h"

namespace tidewaiter::board {
namespace {

constexpr int kBacklog = 128;
constexpr int kAcceptsAtATime = 16;
constexpr std::size_t kEventsAtATime = 32;
constexpr mode_t kModeOfPath = 0666;  // connecting needs the right to write; there is nothing else to write to

base::FileDescriptor open_socket() {
  return base::FileDescriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

base::FileDescriptor open_spare() { return base::FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

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

/// Removes a socket that nobody serves any more.
base::Result<void> clear(const std::string& path, const UnixAddress& address) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return base::fail_errno(errno, path);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return base::fail(base::ErrorCode::kInvalidArgument, path + " is not a socket",
                      "move it away, or choose another path");
  }
  const base::FileDescriptor probe = open_socket();
  if (!probe.is_open()) return base::fail_errno(errno, "open a socket");
  if (::connect(probe.get(), address.get(), UnixAddress::size()) == 0 || errno == EAGAIN || errno == EPROTOTYPE) {
    return base::fail(base::ErrorCode::kUnavailable, "another program serves " + path,
                      "stop it, or choose another state directory");
  }
  if (errno != ECONNREFUSED) return base::fail_errno(errno, "ask who serves " + path);
  if (unlink(path.c_str()) != 0) return base::fail_errno(errno, "remove the socket that nobody serves, " + path);
  return {};
}

/// One message with one descriptor; whole or not at all.
bool send_hello(int client, const tw_hello& hello, int block) {
  iovec part{const_cast<tw_hello*>(&hello), sizeof hello};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof block)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof block);
  std::memcpy(CMSG_DATA(rights), &block, sizeof block);
  return ::sendmsg(client, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof hello);
}

}  // namespace

std::vector<base::Setting> AgentSocket::settings_of(Options& options) {
  return {{"board.max_clients", "connections",
           "Clients whose connection is kept; further ones get the parameter block as well, but are not counted.",
           base::Setting::Whole{&options.max_clients, 1, 65'536}}};
}

base::Result<AgentSocket> AgentSocket::listen(const Options& options, const ParameterBlockWriter& block) {
  AgentSocket result;
  result.options_ = options;
  result.hello_ = hello_of(block.interval());
  result.block_ = base::FileDescriptor(fcntl(block.descriptor(), F_DUPFD_CLOEXEC, 0));
  result.listener_ = open_socket();
  result.epoll_ = base::FileDescriptor(epoll_create1(EPOLL_CLOEXEC));
  result.spare_ = open_spare();
  if (!result.block_.is_open() || !result.listener_.is_open() || !result.epoll_.is_open()) {
    return base::fail_errno(errno, "descriptors for the agent's socket");
  }
  if (auto bound = result.bind_and_listen(); !bound) return tl::unexpected(std::move(bound).error());
  if (auto watched = result.watch(result.listener_.get(), EPOLLIN); !watched) {
    return tl::unexpected(std::move(watched).error());
  }
  return result;
}

base::Result<void> AgentSocket::bind_and_listen() {
  const std::string& path = options_.path;
  const auto address = UnixAddress::of(path);
  if (!address) return tl::unexpected(address.error());
  if (auto cleared = clear(path, *address); !cleared) return cleared;
  if (::bind(listener_.get(), address->get(), UnixAddress::size()) != 0) {
    auto failure = base::fail_errno(errno, "listen at " + path);
    if (failure.value().system_errno == ENOENT) failure.value().hint = "make its directory first";
    return failure;
  }
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return base::fail_errno(errno, path);
  inode_ = {status.st_dev, status.st_ino};
  if (chmod(path.c_str(), kModeOfPath) != 0) return base::fail_errno(errno, "open " + path + " to everybody");
  if (::listen(listener_.get(), kBacklog) != 0) return base::fail_errno(errno, "listen at " + path);
  return {};
}

AgentSocket::~AgentSocket() {
  struct stat status {};
  const bool is_bound = listener_.is_open() && inode_.number != 0;
  if (is_bound && lstat(options_.path.c_str(), &status) == 0 && status.st_dev == inode_.device &&
      status.st_ino == inode_.number) {
    unlink(options_.path.c_str());
  }
}

base::Result<void> AgentSocket::watch(int descriptor, std::uint32_t events) const {
  epoll_event event{};
  event.events = events;
  event.data.fd = descriptor;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) return base::fail_errno(errno, "epoll_ctl");
  return {};
}

void AgentSocket::on_readable() {
  std::array<epoll_event, kEventsAtATime> events{};
  const int ready = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < ready; ++i) {
    const int descriptor = events[static_cast<std::size_t>(i)].data.fd;
    if (descriptor == listener_.get()) {
      accept_some();
    } else {
      clients_.erase(descriptor);  // only a hang-up is waited for; closing takes it out of the epoll
    }
  }
}

void AgentSocket::accept_some() {
  for (int i = 0; i < kAcceptsAtATime; ++i) {
    base::FileDescriptor client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client.is_open()) {
      greet(std::move(client));
    } else if (errno == EMFILE || errno == ENFILE) {
      return turn_away_one();
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void AgentSocket::greet(base::FileDescriptor client) {
  if (!send_hello(client.get(), hello_, block_.get())) {
    ++counters_.failed;
    return;
  }
  ++counters_.greeted;
  const int descriptor = client.get();
  if (clients_.size() >= options_.max_clients || !watch(descriptor, EPOLLRDHUP)) {
    ++counters_.not_kept;
    return;
  }
  clients_.emplace(descriptor, std::move(client));
}

void AgentSocket::turn_away_one() {
  ++counters_.failed;
  spare_.reset();
  base::FileDescriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)).reset();
  spare_ = open_spare();
}

}  // namespace tidewaiter::board
