// SPDX-License-Identifier: Apache-2.0
#include "kernel/destroy_listener.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <span>
#include <sys/socket.h>
#include <utility>

#include "kernel/diag_socket.h"

namespace tidewaiter::kernel {
namespace {

constexpr std::size_t kDatagramBytes = 2048;  // one end of a socket takes less than 400
constexpr std::size_t kBatch = 64;

#ifndef SO_MEMINFO
constexpr int SO_MEMINFO = 55;
#endif

class Fold final : public DestroyedSink {
 public:
  Fold(telemetry::ConnectHintBuilder& hints, const telemetry::PortPlan& plan) : hints_(hints), plan_(plan) {}
  void on_destroyed(const telemetry::DestroyedSocket& socket) override { hints_.add(socket, plan_); }

 private:
  telemetry::ConnectHintBuilder& hints_;
  const telemetry::PortPlan& plan_;
};

/// Best effort: root may go beyond net.core.rmem_max, others get what it allows.
void set_receive_buffer(const base::FileDescriptor& socket, std::uint64_t bytes) {
  const auto wanted = static_cast<int>(bytes);
  if (setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) == 0) return;
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
}

}  // namespace

std::vector<base::Setting> settings_of(DestroyOptions& options) {
  return {
      {"destroyed_sockets.receive_buffer_bytes", "bytes",
       "Room for the ends of sockets that wait to be read, where no hook sees connects. Without CAP_NET_ADMIN it is "
       "at most net.core.rmem_max. What does not fit is lost and counted.",
       base::Setting::Whole{&options.receive_buffer_bytes, 64 << 10, 256 << 20}},
      {"destroyed_sockets.per_drain", "sockets",
       "Ends of sockets that are read in one go, before anything else gets its turn.",
       base::Setting::Whole{&options.sockets_per_drain, 64, 1'000'000}}};
}

base::Result<DestroyListener> DestroyListener::open(const DestroyOptions& options) {
  // Connected to the kernel it hears nobody else.
  auto socket = connect_to_sock_diag();
  if (!socket) return tl::unexpected(std::move(socket).error());
  set_receive_buffer(*socket, options.receive_buffer_bytes);
  for (const int group : {SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY}) {
    if (setsockopt(socket->get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0) continue;
    auto failure = base::fail_errno(errno, "hear of the ends of sockets");
    failure.value().code = base::ErrorCode::kUnavailable;
    failure.value().hint = "this kernel does not tell of them: load its module tcp_diag (modprobe tcp_diag)";
    return failure;
  }
  return over(std::move(*socket), options);
}

DestroyListener DestroyListener::over(base::FileDescriptor joined, const DestroyOptions& options) {
  DestroyListener listener;
  listener.socket_ = std::move(joined);
  listener.options_ = options;
  listener.buffer_.resize(kBatch * kDatagramBytes);
  listener.dropped_before_ = listener.dropped().value_or(0);
  return listener;
}

base::Result<bool> DestroyListener::drain(const telemetry::PortPlan& plan) {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> vectors{};
  for (std::size_t i = 0; i < kBatch; ++i) {
    vectors[i] = {buffer_.data() + i * kDatagramBytes, kDatagramBytes};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (std::uint64_t count = 0; count < options_.sockets_per_drain;) {
    const int received = recvmmsg(socket_.get(), messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && errno == ENOBUFS) {  // said once each time that the buffer was full
      ++overruns_;
      ++count;
      continue;
    }
    if (received < 0) return base::fail_errno(errno, "hear of the ends of sockets");
    for (std::size_t i = 0; i < static_cast<std::size_t>(received); ++i) {
      const bool is_cut = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
      if (is_cut) ++malformed_;
      if (!is_cut) read(std::span(buffer_).subspan(i * kDatagramBytes, messages[i].msg_len), plan);
    }
    count += static_cast<std::uint64_t>(received);
  }
  return true;
}

void DestroyListener::read(std::span<const std::byte> datagram, const telemetry::PortPlan& plan) {
  Fold fold(hints_, plan);
  if (!parse_destroyed(datagram, fold)) ++malformed_;
}

telemetry::ConnectHints DestroyListener::take() {
  const std::uint64_t overruns = std::exchange(overruns_, 0);
  const auto dropped_now = dropped();
  if (!dropped_now) return hints_.take(overruns);             // at least one each: the kernel does not count them
  const std::uint32_t lost = *dropped_now - dropped_before_;  // modulo 2^32, as the kernel counts
  dropped_before_ = *dropped_now;
  return hints_.take(lost);
}

std::optional<std::uint32_t> DestroyListener::dropped() const {
  std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
  socklen_t length = sizeof memory;
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_MEMINFO, memory.data(), &length) != 0) return std::nullopt;
  return memory[SK_MEMINFO_DROPS];
}

std::uint64_t DestroyListener::receive_buffer_bytes() const {
  int bytes = 0;
  socklen_t length = sizeof bytes;
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &bytes, &length) != 0) return 0;
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace tidewaiter::kernel
