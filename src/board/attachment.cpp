// SPDX-License-Identifier: Apache-2.0
#include "board/attachment.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <string_view>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <vector>

#include "board/process_identity.h"
#include "board/unix_address.h"

namespace tidewaiter::board {
namespace {

constexpr std::size_t kMostDescriptors = 32;  // of a later agent; those unknown are closed

/// A hello and what came with it. Bytes beyond what this version knows are cut off.
struct Greeting {
  tw_hello hello{};
  std::size_t bytes = 0;
  std::vector<base::FileDescriptor> descriptors;
};

base::Result<base::FileDescriptor> connect_to(const std::string& path, base::Nanoseconds patience) {
  const auto address = UnixAddress::of(path);
  if (!address) return tl::unexpected(address.error());
  base::FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return base::fail_errno(errno, "open a socket");
  const auto microseconds = std::chrono::duration_cast<base::Microseconds>(patience).count();
  const timeval limit{microseconds / 1'000'000, microseconds % 1'000'000};
  for (const int option : {SO_SNDTIMEO, SO_RCVTIMEO}) {
    if (setsockopt(socket.get(), SOL_SOCKET, option, &limit, sizeof limit) != 0) {
      return base::fail_errno(errno, "limit the wait for the agent");
    }
  }
  if (::connect(socket.get(), address->get(), UnixAddress::size()) == 0) return socket;
  auto failure = base::fail_errno(errno, "connect to " + path);
  base::Error& error = failure.value();
  if (error.system_errno == ECONNREFUSED || error.system_errno == EAGAIN) error.code = base::ErrorCode::kUnavailable;
  if (error.system_errno == ECONNREFUSED || error.code == base::ErrorCode::kNotFound) {
    error.hint = "start the agent: tidewaiter run";
  }
  return failure;
}

/// Who listens, as the kernel noted it when the agent began to.
base::Result<void> check_peer(int connection, const std::string& path) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return base::fail_errno(errno, "who serves " + path);
  }
  if (peer.uid == 0 || peer.uid == geteuid()) return {};
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && status.st_uid == peer.uid) return {};
  return base::fail(base::ErrorCode::kNotPermitted, fmt::format("{} is served by user {}", path, peer.uid),
                    "attach only to an agent of root, of your own user, or of the owner of the socket");
}

/// Takes over the descriptors of a message, all of them, so that none leaks.
void take_descriptors(msghdr& message, Greeting& greeting) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof descriptor, sizeof descriptor);
      greeting.descriptors.emplace_back(descriptor);
    }
  }
}

base::Result<Greeting> receive(int connection) {
  Greeting greeting;
  iovec part{&greeting.hello, sizeof greeting.hello};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t received = 0;
  do {
    received = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0 && errno == EAGAIN) {
    return base::fail(base::ErrorCode::kUnavailable, "the agent did not answer in time",
                      "is it stopped? `ps -o stat` of its process says T");
  }
  if (received < 0) return base::fail_errno(errno, "the agent's hello");
  if (received == 0) {
    return base::fail(base::ErrorCode::kUnavailable, "the agent hung up without a hello",
                      "it may have no descriptor left: raise its limit (`ulimit -n`)");
  }
  greeting.bytes = static_cast<std::size_t>(received);
  take_descriptors(message, greeting);
  return greeting;
}

tl::unexpected<base::Error> refuse(std::string what) {
  return base::fail(base::ErrorCode::kMalformed, "the agent's hello: " + std::move(what),
                    "run agent and program in the same version of tidewaiter");
}

base::Result<void> check(const Greeting& greeting) {
  const tw_hello& hello = greeting.hello;
  if (greeting.bytes < sizeof hello) {
    return refuse(fmt::format("{} bytes, expected at least {}", greeting.bytes, sizeof hello));
  }
  if (hello.magic != TW_HELLO_MAGIC) return refuse("not one");
  if (hello.version != TW_HELLO_VERSION) {
    return refuse(fmt::format("version {}, this program knows {}", hello.version, TW_HELLO_VERSION));
  }
  if (hello.interval_ns <= 0) return refuse("no interval");
  return {};
}

base::Result<void> check_clock(const tw_hello& hello) {
  const ProcessIdentity own = own_identity();
  const std::string_view boot_id(hello.boot_id, strnlen(hello.boot_id, sizeof hello.boot_id));
  if (boot_id != own.boot_id) {
    return base::fail(base::ErrorCode::kUnavailable, "the agent runs on another boot or host",
                      "attach to an agent of this host; /proc must be mounted");
  }
  if (hello.time_namespace != own.time_namespace) {
    return base::fail(base::ErrorCode::kUnavailable,
                      fmt::format("the agent's clock is that of time namespace {}, here is {}", hello.time_namespace,
                                  own.time_namespace),
                      "run both in one time namespace (`ls -l /proc/PID/ns/time`); /proc must be mounted");
  }
  return {};
}

base::Result<ParameterBlockReader> open_block(const Greeting& greeting) {
  const std::size_t known = std::min<std::size_t>(greeting.descriptors.size(), TW_HELLO_DESCRIPTORS);
  for (std::size_t i = 0; i < known; ++i) {
    if (greeting.hello.descriptor_kinds[i] == TW_DESCRIPTOR_PARAMETER_BLOCK) {
      return ParameterBlockReader::open(greeting.descriptors[i]);
    }
  }
  return refuse("came without a parameter block (no free descriptor here?)");
}

}  // namespace

base::Result<Attachment> attach(const std::string& path, base::Nanoseconds patience) {
  auto connection = connect_to(path, patience);
  if (!connection) return tl::unexpected(std::move(connection).error());
  if (auto checked = check_peer(connection->get(), path); !checked) return tl::unexpected(std::move(checked).error());
  const auto greeting = receive(connection->get());
  if (!greeting) return tl::unexpected(greeting.error());
  if (auto checked = check(*greeting); !checked) return tl::unexpected(std::move(checked).error());
  if (auto checked = check_clock(greeting->hello); !checked) return tl::unexpected(std::move(checked).error());
  auto block = open_block(*greeting);
  if (!block) return tl::unexpected(std::move(block).error());
  return Attachment{std::move(*block), base::Nanoseconds(greeting->hello.interval_ns), std::move(*connection)};
}

}  // namespace tidewaiter::board
