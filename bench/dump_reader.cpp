// SPDX-License-Identifier: Apache-2.0
#include "bench/dump_reader.h"

#include <cerrno>
#include <cstring>
#include <linux/netlink.h>
#include <sys/socket.h>

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
  reader.socket_ = base::FileDescriptor(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!reader.socket_.is_open()) return base::fail_errno(errno, "open a sock_diag socket");
  reader.buffer_.resize(kDatagramBytes);
  return reader;
}

base::Result<void> DumpReader::read(const kernel::DiagRequest& request,
                                    const std::function<void(std::span<const std::byte>)>& visit) {
  const auto bytes = kernel::encode_dump_request(request, kSequence);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(socket_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&kernel),
               sizeof kernel) < 0) {
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
