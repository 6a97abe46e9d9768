// SPDX-License-Identifier: Apache-2.0
#include "board/unix_listener.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/unix_address.h"

namespace tidewaiter::board {
namespace {

constexpr int kBacklog = 128;
constexpr int kAcceptsAtATime = 16;

base::FileDescriptor open_socket() {
  return base::FileDescriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

base::FileDescriptor open_spare() { return base::FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

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

}  // namespace

base::Result<UnixListener> UnixListener::listen(const std::string& path, mode_t mode) {
  UnixListener result;
  result.path_ = path;
  result.listener_ = open_socket();
  result.spare_ = open_spare();
  if (!result.listener_.is_open()) return base::fail_errno(errno, "open a socket");
  if (auto bound = result.bind_and_listen(mode); !bound) return tl::unexpected(std::move(bound).error());
  return result;
}

base::Result<void> UnixListener::bind_and_listen(mode_t mode) {
  const auto address = UnixAddress::of(path_);
  if (!address) return tl::unexpected(address.error());
  if (auto cleared = clear(path_, *address); !cleared) return cleared;
  if (::bind(listener_.get(), address->get(), UnixAddress::size()) != 0) {
    auto failure = base::fail_errno(errno, "listen at " + path_);
    if (failure.value().system_errno == ENOENT) failure.value().hint = "make its directory first";
    return failure;
  }
  struct stat status {};
  if (lstat(path_.c_str(), &status) != 0) return base::fail_errno(errno, path_);
  inode_ = {status.st_dev, status.st_ino};
  if (chmod(path_.c_str(), mode) != 0) return base::fail_errno(errno, "say who may connect to " + path_);
  if (::listen(listener_.get(), kBacklog) != 0) return base::fail_errno(errno, "listen at " + path_);
  return {};
}

UnixListener::~UnixListener() {
  struct stat status {};
  const bool is_bound = listener_.is_open() && inode_.number != 0;
  if (is_bound && lstat(path_.c_str(), &status) == 0 && status.st_dev == inode_.device &&
      status.st_ino == inode_.number) {
    unlink(path_.c_str());
  }
}

std::uint64_t UnixListener::accept_some(const std::function<void(base::FileDescriptor)>& greet) {
  for (int i = 0; i < kAcceptsAtATime; ++i) {
    base::FileDescriptor client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client.is_open()) {
      greet(std::move(client));
    } else if (errno == EMFILE || errno == ENFILE) {
      turn_away_one();
      return 1;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return 0;
    }
  }
  return 0;
}

void UnixListener::turn_away_one() {
  spare_.reset();
  base::FileDescriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)).reset();
  spare_ = open_spare();
}

base::Result<void> watch(const base::FileDescriptor& epoll, int descriptor, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = descriptor;
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) return base::fail_errno(errno, "epoll_ctl");
  return {};
}

bool send_message(int connection, const void* bytes, std::size_t size, int descriptor) {
  iovec part{const_cast<void*>(bytes), size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof descriptor)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  }
  return ::sendmsg(connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

}  // namespace tidewaiter::board
