// SPDX-License-Identifier: Apache-2.0
#include "bench/dump_reader.h"

#include <cerrno>
#include <cstring>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "kernel/diag_socket.h"

namespace tidewaiter::bench {
namespace {

constexpr std::size_t kDatagramBytes = 64 * 1024;

/// "Done" fills a datagram of its own or ends the last one with rows: look through the headers only.
bool is_last(std::span<const std::byte> datagram) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header{};
    std::memcpy(&header, datagram.data(), sizeof header);
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) return true;
    const std::size_t length = NLMSG_ALIGN(header.nlmsg_len);
    if (length < sizeof header || length >= datagram.size()) return false;
    datagram = datagram.subspan(length);
  }
  return false;
}

}  // namespace

kernel::DiagRequest every_connection() {
  using telemetry::TcpState;
  kernel::DiagRequest request;
  request.states = kernel::StateMask(TcpState::kEstablished, TcpState::kSynSent, TcpState::kSynReceived,
                                     TcpState::kFinWait1, TcpState::kFinWait2, TcpState::kTimeWait,
                                     TcpState::kCloseWait, TcpState::kLastAck, TcpState::kClosing);
  return request;
}

base::Result<DumpReader> DumpReader::open() {
  DumpReader reader;
  auto socket = kernel::connect_to_sock_diag();
  if (!socket) return tl::unexpected(socket.error());
  reader.socket_ = std::move(*socket);
  reader.buffer_.resize(kDatagramBytes);
  return reader;
}

base::Result<void> DumpReader::read(const kernel::DiagRequest& request,
                                    const std::function<void(std::span<const std::byte>)>& visit) {
  const auto bytes = kernel::encode_dump_request(request, kSequence);
  if (::send(socket_.get(), bytes.data(), bytes.size(), 0) < 0) {
    return base::fail_errno(errno, "ask sock_diag");
  }
  while (true) {
    const ssize_t length = ::recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return base::fail_errno(errno, "receive from sock_diag");
    const auto datagram = std::span<const std::byte>(buffer_).first(static_cast<std::size_t>(length));
    visit(datagram);
    if (is_last(datagram)) return {};
  }
}

}  // namespace tidewaiter::bench
