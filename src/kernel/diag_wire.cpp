// SPDX-License-Identifier: Apache-2.0
#include "kernel/diag_wire.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <optional>
#include <sys/socket.h>

namespace tidewaiter::kernel {
namespace {

using telemetry::Address;
using telemetry::SocketRow;

constexpr std::size_t kDropsOffset = SK_MEMINFO_DROPS * sizeof(std::uint32_t);
constexpr std::size_t kLastDataSentOffset = offsetof(tcp_info, tcpi_last_data_sent);
constexpr std::size_t kLastDataReceivedOffset = offsetof(tcp_info, tcpi_last_data_recv);
constexpr std::size_t kLastAckReceivedOffset = offsetof(tcp_info, tcpi_last_ack_recv);
constexpr std::size_t kRoundTripOffset = offsetof(tcp_info, tcpi_rtt);
constexpr std::size_t kAdvertisedMssOffset = offsetof(tcp_info, tcpi_advmss);
constexpr std::size_t kBytesAckedOffset = offsetof(tcp_info, tcpi_bytes_acked);

std::uint8_t extension_bits(DiagExtension extension) {
  switch (extension) {
    case DiagExtension::kNone:
      return 0;
    case DiagExtension::kSocketMemory:
      return 1U << (INET_DIAG_SKMEMINFO - 1);
    case DiagExtension::kTcpInfo:
      return 1U << (INET_DIAG_INFO - 1);
  }
  return 0;
}

/// A filter over the local port in sock_diag's byte code: a list of tests, each 20 bytes.
///
/// An operation jumps forward by `yes` bytes when it holds and by `no` when not; a walk that arrives exactly at the end
/// accepts, one that jumps 4 bytes further refuses (inet_diag_bc_run). The `yes` jumps must lead through all operations
/// in order (inet_diag_bc_audit), hence the JMP, which always takes `no`. "Equal" is ≥ and ≤: every kernel has those.
std::vector<inet_diag_bc_op> port_filter(const std::vector<std::uint16_t>& ports, bool accept) {
  constexpr std::uint16_t kTestBytes = 20;
  std::vector<inet_diag_bc_op> program;
  program.reserve(ports.size() * kTestBytes / sizeof(inet_diag_bc_op));
  auto remaining = static_cast<std::uint16_t>(ports.size() * kTestBytes);
  for (const std::uint16_t port : ports) {
    const bool is_last = remaining == kTestBytes;
    // Not this port: the next test; after the last one the verdict of the whole list.
    const auto miss = static_cast<std::uint16_t>(accept && is_last ? kTestBytes + 4 : kTestBytes);
    // From the JMP, the last 4 bytes of the test: to the end, or past it.
    const auto hit = static_cast<std::uint16_t>(remaining - (kTestBytes - 4) + (accept ? 0 : 4));
    program.push_back({INET_DIAG_BC_S_GE, 8, miss});
    program.push_back({INET_DIAG_BC_NOP, 0, port});
    program.push_back({INET_DIAG_BC_S_LE, 8, static_cast<std::uint16_t>(miss - 8)});
    program.push_back({INET_DIAG_BC_NOP, 0, port});
    program.push_back({INET_DIAG_BC_JMP, 4, hit});
    remaining = static_cast<std::uint16_t>(remaining - kTestBytes);
  }
  return program;
}

Address address_of(std::uint8_t family, const __be32 (&words)[4]) {
  if (family == AF_INET) return Address::v4_network_order(words[0]);
  Address::Bytes bytes{};
  std::memcpy(bytes.data(), &words[0], bytes.size());
  return Address::v6(bytes);
}

SocketRow row_of(const inet_diag_msg& message) {
  SocketRow row;
  row.local = address_of(message.idiag_family, message.id.idiag_src);
  row.remote = address_of(message.idiag_family, message.id.idiag_dst);
  row.local_port = ntohs(message.id.idiag_sport);
  row.remote_port = ntohs(message.id.idiag_dport);
  row.cookie = std::uint64_t{message.id.idiag_cookie[1]} << 32 | message.id.idiag_cookie[0];
  row.state = static_cast<telemetry::TcpState>(message.idiag_state);
  row.timer = static_cast<telemetry::SocketTimer>(message.idiag_timer);
  row.retransmits = message.idiag_retrans;
  row.expires_ms = message.idiag_expires;
  row.receive_queue = message.idiag_rqueue;
  row.send_queue = message.idiag_wqueue;
  row.inode = message.idiag_inode;
  return row;
}

/// A field of an attribute, where the attribute is long enough to have it: tcp_info grows with every kernel.
template <class Field = std::uint32_t>
std::optional<Field> field_at(std::span<const std::byte> payload, std::size_t offset) {
  if (payload.size() < offset + sizeof(Field)) return std::nullopt;
  Field value = 0;
  std::memcpy(&value, payload.data() + offset, sizeof value);
  return value;
}

/// Calls visit(type, payload) for every attribute.
template <class Visitor>
base::Result<void> for_each_attribute(std::span<const std::byte> bytes, Visitor visit) {
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nla_len < sizeof header || header.nla_len > bytes.size()) {
      return base::fail(base::ErrorCode::kMalformed, "a sock_diag attribute reaches past its message");
    }
    visit(header.nla_type, bytes.subspan(sizeof header, header.nla_len - sizeof header));
    bytes = bytes.subspan(std::min(bytes.size(), static_cast<std::size_t>(NLA_ALIGN(header.nla_len))));
  }
  return {};
}

bool is_internet_family(const inet_diag_msg& message) {
  return message.idiag_family == AF_INET || message.idiag_family == AF_INET6;
}

/// The fixed part of a row.
base::Result<inet_diag_msg> fixed_part(std::span<const std::byte> payload) {
  inet_diag_msg message{};
  if (payload.size() < sizeof message) {
    return base::fail(base::ErrorCode::kMalformed, "a sock_diag row is shorter than its fixed part");
  }
  std::memcpy(&message, payload.data(), sizeof message);
  return message;
}

base::Result<void> read_row(std::span<const std::byte> payload, telemetry::RowSink& sink, DiagChunk& chunk) {
  const auto message = fixed_part(payload);
  if (!message) return tl::unexpected(message.error());
  if (!is_internet_family(*message)) {
    ++chunk.unknown;
    return {};
  }
  SocketRow row = row_of(*message);
  const auto read = for_each_attribute(payload.subspan(sizeof(inet_diag_msg)), [&](std::uint16_t type, auto attribute) {
    if (type == INET_DIAG_SKMEMINFO) row.drops = field_at(attribute, kDropsOffset);
    if (type == INET_DIAG_INFO) row.last_data_sent_ms = field_at(attribute, kLastDataSentOffset);
  });
  if (!read) return tl::unexpected(read.error());
  ++chunk.rows;
  sink.on_row(row);
  return {};
}

telemetry::DestroyedSocket destroyed_of(const inet_diag_msg& message) {
  telemetry::DestroyedSocket socket;
  socket.local = address_of(message.idiag_family, message.id.idiag_src);
  socket.remote = address_of(message.idiag_family, message.id.idiag_dst);
  socket.local_port = ntohs(message.id.idiag_sport);
  socket.remote_port = ntohs(message.id.idiag_dport);
  socket.is_ipv6_socket = message.idiag_family == AF_INET6;
  return socket;
}

base::Result<void> read_destroyed(std::span<const std::byte> payload, DestroyedSink& sink, DestroyedChunk& chunk) {
  const auto message = fixed_part(payload);
  if (!message) return tl::unexpected(message.error());
  if (!is_internet_family(*message)) {
    ++chunk.unknown;
    return {};
  }
  telemetry::DestroyedSocket socket = destroyed_of(*message);
  const auto read = for_each_attribute(payload.subspan(sizeof(inet_diag_msg)), [&](std::uint16_t type, auto info) {
    if (type != INET_DIAG_INFO) return;
    socket.rtt_us = field_at(info, kRoundTripOffset);
    socket.bytes_acked = field_at<std::uint64_t>(info, kBytesAckedOffset);
    socket.advertised_mss = field_at(info, kAdvertisedMssOffset);
    socket.last_data_received_ms = field_at(info, kLastDataReceivedOffset);
    socket.last_ack_received_ms = field_at(info, kLastAckReceivedOffset);
  });
  if (!read) return tl::unexpected(read.error());
  ++chunk.sockets;
  sink.on_destroyed(socket);
  return {};
}

/// One message of a datagram.
struct Message {
  nlmsghdr header{};
  std::span<const std::byte> payload;
};

/// Cuts the next message off `datagram`, which is not empty.
base::Result<Message> next_message(std::span<const std::byte>& datagram) {
  Message message;
  if (datagram.size() < sizeof message.header) {
    return base::fail(base::ErrorCode::kMalformed, "a netlink header is cut off");
  }
  std::memcpy(&message.header, datagram.data(), sizeof message.header);
  const std::size_t length = message.header.nlmsg_len;
  if (length < sizeof message.header || length > datagram.size()) {
    return base::fail(base::ErrorCode::kMalformed, "a netlink message reaches past its datagram");
  }
  message.payload = datagram.subspan(sizeof message.header, length - sizeof message.header);
  datagram = datagram.subspan(std::min(datagram.size(), static_cast<std::size_t>(NLMSG_ALIGN(length))));
  return message;
}

bool is_row(const nlmsghdr& header) {
  return header.nlmsg_type == TCPDIAG_GETSOCK || header.nlmsg_type == SOCK_DIAG_BY_FAMILY;
}

/// The error number that NLMSG_ERROR and, at the end of a failed dump, NLMSG_DONE carry; 0 = none.
int error_of(std::span<const std::byte> payload) { return static_cast<std::int32_t>(field_at(payload, 0).value_or(0)); }

}  // namespace

std::vector<std::byte> encode_dump_request(const DiagRequest& request, std::uint32_t sequence) {
  assert(request.only_ports.size() <= kMaximumFilterPorts && request.except_ports.size() <= kMaximumFilterPorts);
  assert(request.only_ports.empty() || request.except_ports.empty());
  std::vector<std::byte> buffer(4096);
  nlmsghdr* const header = mnl_nlmsg_put_header(buffer.data());
  header->nlmsg_type = TCPDIAG_GETSOCK;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  header->nlmsg_seq = sequence;
  auto* const body = static_cast<inet_diag_req*>(mnl_nlmsg_put_extra_header(header, sizeof(inet_diag_req)));
  body->idiag_family = AF_INET;  // not looked at by the dump, which takes every family
  body->idiag_ext = extension_bits(request.extension);
  body->idiag_states = request.states.bits();
  const bool accept = !request.only_ports.empty();
  const auto program = port_filter(accept ? request.only_ports : request.except_ports, accept);
  if (!program.empty()) {
    mnl_attr_put(header, INET_DIAG_REQ_BYTECODE, program.size() * sizeof(inet_diag_bc_op), program.data());
  }
  buffer.resize(header->nlmsg_len);
  return buffer;
}

base::Result<DiagChunk> parse_dump(std::span<const std::byte> datagram, std::uint32_t sequence,
                                   telemetry::RowSink& sink) {
  DiagChunk chunk;
  while (!datagram.empty() && !chunk.is_done) {
    const auto message = next_message(datagram);
    if (!message) return tl::unexpected(message.error());
    const nlmsghdr& header = message->header;
    if (header.nlmsg_seq != sequence) {
      ++chunk.unknown;
      continue;
    }
    chunk.is_interrupted |= (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
      chunk.is_done = true;
      if (const int error = error_of(message->payload); error < 0) return base::fail_errno(-error, "sock_diag dump");
    } else if (is_row(header)) {
      if (auto row = read_row(message->payload, sink, chunk); !row) return tl::unexpected(row.error());
    } else {
      ++chunk.unknown;
    }
  }
  return chunk;
}

base::Result<DestroyedChunk> parse_destroyed(std::span<const std::byte> datagram, DestroyedSink& sink) {
  DestroyedChunk chunk;
  while (!datagram.empty()) {
    const auto message = next_message(datagram);
    if (!message) return tl::unexpected(message.error());
    if (!is_row(message->header)) {
      ++chunk.unknown;
      continue;
    }
    if (auto read = read_destroyed(message->payload, sink, chunk); !read) return tl::unexpected(read.error());
  }
  return chunk;
}

}  // namespace tidewaiter::kernel
