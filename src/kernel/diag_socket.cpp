// SPDX-License-Identifier: Apache-2.0
#include "kernel/diag_socket.h"

#include <cerrno>
#include <linux/netlink.h>
#include <span>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/stopwatch.h"
#include "kernel/linux_capabilities.h"

namespace tidewaiter::kernel {
namespace {

constexpr int kReceiveBufferBytes = 1 << 20;
constexpr std::size_t kDatagramBytes =
    std::size_t{64} * 1024;  // the kernel fills at most 32 KiB per datagram of a dump
constexpr int kMaximumRestarts = 3;
constexpr timeval kReceiveTimeout{5, 0};  // a dump that says nothing for so long never will

/// Without its modules the kernel answers a dump with EOPNOTSUPP (inet_diag) or ENOENT (tcp_diag).
base::Error explained(base::Error error) {
  if (error.system_errno == EOPNOTSUPP || error.system_errno == ENOENT) {
    error.code = base::ErrorCode::kUnavailable;
    error.hint = "this kernel cannot list TCP sockets as it is: load its module tcp_diag (modprobe tcp_diag)";
  }
  return error;
}

}  // namespace

base::Result<base::FileDescriptor> connect_to_sock_diag() {
  base::FileDescriptor socket;
  {
    // To a socket that was opened with it the kernel adds marks and more to every row, which nobody here reads: a tenth
    // of the dump's cost.
    const WithoutCapability plain(LinuxCapability::kNetAdmin);
    socket = base::FileDescriptor(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  }
  if (!socket.is_open()) return base::fail_errno(errno, "open a sock_diag socket");
  // Best effort: root may go beyond net.core.rmem_max, others get what it allows.
  if (setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes, sizeof kReceiveBufferBytes) != 0) {
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof kReceiveBufferBytes);
  }
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) != 0) {
    return base::fail_errno(errno, "connect to sock_diag");
  }
  return socket;
}

base::Result<DiagSocket> DiagSocket::open() {
  auto socket = connect_to_sock_diag();
  if (!socket) return tl::unexpected(std::move(socket).error());
  return over(std::move(*socket));
}

DiagSocket DiagSocket::over(base::FileDescriptor connected) {
  DiagSocket result;
  setsockopt(connected.get(), SOL_SOCKET, SO_RCVTIMEO, &kReceiveTimeout, sizeof kReceiveTimeout);
  result.socket_ = std::move(connected);
  result.buffer_.resize(kDatagramBytes);
  return result;
}

base::Result<DumpCost> DiagSocket::dump(const DiagRequest& request, telemetry::RowSink& sink) {
  DumpCost cost;
  while (true) {
    const auto outcome = dump_once(request, sink, cost);
    if (!outcome) return tl::unexpected(outcome.error());
    if (*outcome == Outcome::kComplete) return cost;
    if (cost.restarts == kMaximumRestarts) {
      if (*outcome == Outcome::kInterrupted) return cost;
      return base::fail(base::ErrorCode::kUnavailable, "the socket list overran its buffer 4 times in a row",
                        "raise net.core.rmem_max, or look again when fewer sockets change");
    }
    ++cost.restarts;
    cost.rows = 0;
    sink.on_restart();
  }
}

base::Result<void> DiagSocket::send(const std::vector<std::byte>& request) {
  if (::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0)
    return base::fail_errno(errno, "ask sock_diag");
  return {};
}

base::Result<std::optional<std::size_t>> DiagSocket::receive() {
  while (true) {
    const ssize_t length = ::recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_TRUNC);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno == ENOBUFS) return std::nullopt;
    if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return base::fail(base::ErrorCode::kUnavailable, "sock_diag did not answer for 5 s");
    }
    if (length < 0) return base::fail_errno(errno, "receive from sock_diag");
    if (length == 0) return base::fail(base::ErrorCode::kUnavailable, "sock_diag ended in the middle of a dump");
    if (static_cast<std::size_t>(length) <= buffer_.size()) return static_cast<std::size_t>(length);
    buffer_.resize(static_cast<std::size_t>(length));  // MSG_TRUNC tells the true length; what did not fit is lost
    return std::nullopt;
  }
}

base::Result<DiagSocket::Outcome> DiagSocket::dump_once(const DiagRequest& request, telemetry::RowSink& sink,
                                                        DumpCost& cost) {
  const auto bytes = encode_dump_request(request, ++sequence_);
  base::Stopwatch in_kernel;
  if (auto sent = send(bytes); !sent) return tl::unexpected(sent.error());
  // Read to the end whatever happens: a dump that is left half read blocks the next one on this socket.
  Outcome outcome = Outcome::kComplete;
  while (true) {
    const auto length = receive();
    cost.kernel += in_kernel.elapsed();
    if (!length) return tl::unexpected(length.error());
    if (!*length) {
      outcome = Outcome::kOverrun;
    } else {
      auto chunk = parse_dump(std::span(buffer_).first(**length), sequence_, sink);
      if (!chunk) return tl::unexpected(explained(std::move(chunk).error()));
      cost.rows += chunk->rows;
      cost.unknown += chunk->unknown;
      if (chunk->is_interrupted && outcome == Outcome::kComplete) outcome = Outcome::kInterrupted;
      if (chunk->is_done) return outcome;
    }
    in_kernel = base::Stopwatch();
  }
}

}  // namespace tidewaiter::kernel
