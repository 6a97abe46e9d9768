// SPDX-License-Identifier: Apache-2.0
#include "kernel/diag_wire.h"

#include <algorithm>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <rapidcheck.h>

namespace tidewaiter::kernel {
namespace {

using telemetry::SocketRow;
using telemetry::TcpState;

class Rows final : public telemetry::RowSink {
 public:
  void on_row(const SocketRow& row) override { rows.push_back(row); }
  void on_restart() override { rows.clear(); }
  std::vector<SocketRow> rows;
};

/// Datagrams as the kernel writes them.
class Datagram {
 public:
  Datagram& message(std::uint16_t type, std::span<const std::byte> payload, std::uint32_t sequence = 7,
                    std::uint16_t flags = NLM_F_MULTI) {
    nlmsghdr header{};
    header.nlmsg_len = static_cast<std::uint32_t>(sizeof header + payload.size());
    header.nlmsg_type = type;
    header.nlmsg_flags = flags;
    header.nlmsg_seq = sequence;
    append(&header, sizeof header);
    append(payload.data(), payload.size());
    bytes.resize(NLMSG_ALIGN(bytes.size()));
    return *this;
  }
  Datagram& done(std::int32_t error = 0) { return message(NLMSG_DONE, std::as_bytes(std::span(&error, 1))); }
  [[nodiscard]] base::Result<DiagChunk> parse(telemetry::RowSink& sink) const { return parse_dump(bytes, 7, sink); }
  std::vector<std::byte> bytes;

 private:
  void append(const void* data, std::size_t size) {
    const auto* const begin = static_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), begin, begin + size);
  }
};

inet_diag_msg ipv4_row() {
  inet_diag_msg row{};
  row.idiag_family = AF_INET;
  row.idiag_state = 6;
  row.idiag_timer = 3;
  row.idiag_expires = 59'400;
  row.id.idiag_sport = htons(40'002);
  row.id.idiag_dport = htons(9'000);
  row.id.idiag_src[0] = htonl(0x7f000001);
  row.id.idiag_dst[0] = htonl(0x0a000007);
  row.id.idiag_cookie[0] = 5;
  row.id.idiag_cookie[1] = 1;
  row.idiag_inode = 12;
  return row;
}

std::vector<std::byte> bytes_of(const inet_diag_msg& row) {
  const auto view = std::as_bytes(std::span(&row, 1));
  return {view.begin(), view.end()};
}

void add_attribute(std::vector<std::byte>& payload, std::uint16_t type, std::span<const std::byte> value,
                   int length_error = 0) {
  nlattr attribute{};
  attribute.nla_len = static_cast<std::uint16_t>(static_cast<int>(sizeof attribute + value.size()) + length_error);
  attribute.nla_type = type;
  const auto header = std::as_bytes(std::span(&attribute, 1));
  payload.insert(payload.end(), header.begin(), header.end());
  payload.insert(payload.end(), value.begin(), value.end());
  payload.resize(NLA_ALIGN(payload.size()));
}

TEST(DiagDump, reads_every_field_of_a_row) {
  Rows sink;
  const auto chunk = Datagram().message(TCPDIAG_GETSOCK, bytes_of(ipv4_row())).done().parse(sink);
  ASSERT_TRUE(chunk);
  EXPECT_TRUE(chunk->is_done);
  EXPECT_EQ(chunk->rows, 1U);
  ASSERT_EQ(sink.rows.size(), 1U);
  const SocketRow& row = sink.rows[0];
  EXPECT_EQ(row.local.to_string(), "127.0.0.1");
  EXPECT_EQ(row.remote.to_string(), "10.0.0.7");
  EXPECT_EQ(row.local_port, 40'002);
  EXPECT_EQ(row.remote_port, 9'000);
  EXPECT_EQ(row.state, TcpState::kTimeWait);
  EXPECT_TRUE(row.is_mini_socket());
  EXPECT_EQ(row.expires_ms, 59'400U);
  EXPECT_EQ(row.cookie, 0x1'0000'0005U);
  EXPECT_EQ(row.inode, 12U);
  EXPECT_FALSE(row.drops);
  EXPECT_FALSE(row.last_data_sent_ms);
}

TEST(DiagDump, folds_v4_mapped_addresses) {
  inet_diag_msg row = ipv4_row();
  row.idiag_family = AF_INET6;
  row.id.idiag_src[0] = row.id.idiag_src[1] = 0;
  row.id.idiag_src[2] = htonl(0xffff);
  row.id.idiag_src[3] = htonl(0x7f000001);
  Rows sink;
  ASSERT_TRUE(Datagram().message(SOCK_DIAG_BY_FAMILY, bytes_of(row)).parse(sink));
  EXPECT_EQ(sink.rows.at(0).local, telemetry::Address::v4(0x7f000001));
}

TEST(DiagDump, reads_drops_and_the_wait_from_attributes_of_any_length) {
  auto payload = bytes_of(ipv4_row());
  std::vector<std::uint32_t> memory(SK_MEMINFO_VARS + 3);  // a kernel newer than the headers
  memory[SK_MEMINFO_DROPS] = 21;
  add_attribute(payload, INET_DIAG_SKMEMINFO, std::as_bytes(std::span(memory)));
  std::vector<std::byte> info(280);
  const std::uint32_t wait = 1'234;
  std::memcpy(info.data() + offsetof(tcp_info, tcpi_last_data_sent), &wait, sizeof wait);
  add_attribute(payload, INET_DIAG_INFO, info);
  add_attribute(payload, 999, {});
  Rows sink;
  ASSERT_TRUE(Datagram().message(TCPDIAG_GETSOCK, payload).parse(sink));
  EXPECT_EQ(sink.rows.at(0).drops, 21U);
  EXPECT_EQ(sink.rows.at(0).last_data_sent_ms, 1'234U);
}

TEST(DiagDump, leaves_out_what_a_short_attribute_does_not_have) {
  auto payload = bytes_of(ipv4_row());
  const std::vector<std::byte> short_info(20);
  add_attribute(payload, INET_DIAG_INFO, short_info);
  add_attribute(payload, INET_DIAG_SKMEMINFO, short_info);
  Rows sink;
  ASSERT_TRUE(Datagram().message(TCPDIAG_GETSOCK, payload).parse(sink));
  EXPECT_FALSE(sink.rows.at(0).drops);
  EXPECT_FALSE(sink.rows.at(0).last_data_sent_ms);
}

TEST(DiagDump, refuses_lengths_that_lie) {
  Rows sink;
  Datagram too_long = Datagram().message(TCPDIAG_GETSOCK, bytes_of(ipv4_row()));
  too_long.bytes[0] = std::byte{0xff};
  EXPECT_EQ(too_long.parse(sink).error().code, base::ErrorCode::kMalformed);
  Datagram too_short = Datagram().message(TCPDIAG_GETSOCK, bytes_of(ipv4_row()));
  too_short.bytes[0] = std::byte{4};
  EXPECT_EQ(too_short.parse(sink).error().code, base::ErrorCode::kMalformed);
  Datagram short_row = Datagram().message(TCPDIAG_GETSOCK, std::vector<std::byte>(40));
  EXPECT_EQ(short_row.parse(sink).error().code, base::ErrorCode::kMalformed);
  for (const int lie : {-3, 1, 4'000}) {
    auto payload = bytes_of(ipv4_row());
    add_attribute(payload, INET_DIAG_INFO, {}, lie);
    EXPECT_FALSE(Datagram().message(TCPDIAG_GETSOCK, payload).parse(sink)) << lie;
  }
  EXPECT_TRUE(sink.rows.empty());
}

TEST(DiagDump, tells_what_the_kernel_refused) {
  Rows sink;
  nlmsgerr error{};
  error.error = -EPERM;
  const auto refused = Datagram().message(NLMSG_ERROR, std::as_bytes(std::span(&error, 1))).parse(sink);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::ErrorCode::kNotPermitted);
  EXPECT_EQ(Datagram().done(-EINVAL).parse(sink).error().system_errno, EINVAL);
}

TEST(DiagDump, notices_an_interruption_and_passes_over_what_is_not_ours) {
  Rows sink;
  inet_diag_msg other_family = ipv4_row();
  other_family.idiag_family = 40;
  const auto chunk = Datagram()
                         .message(TCPDIAG_GETSOCK, bytes_of(ipv4_row()), 7, NLM_F_MULTI | NLM_F_DUMP_INTR)
                         .message(TCPDIAG_GETSOCK, bytes_of(ipv4_row()), 6)  // of an abandoned dump
                         .message(TCPDIAG_GETSOCK, bytes_of(other_family))
                         .message(99, {})
                         .parse(sink);
  ASSERT_TRUE(chunk);
  EXPECT_TRUE(chunk->is_interrupted);
  EXPECT_FALSE(chunk->is_done);
  EXPECT_EQ(chunk->rows, 1U);
  EXPECT_EQ(chunk->unknown, 3U);
}

TEST(DiagDump, survives_a_cut_anywhere) {
  auto payload = bytes_of(ipv4_row());
  add_attribute(payload, INET_DIAG_INFO, std::vector<std::byte>(240));
  const Datagram whole = Datagram().message(TCPDIAG_GETSOCK, payload).message(TCPDIAG_GETSOCK, payload).done();
  for (std::size_t length = 0; length < whole.bytes.size(); ++length) {
    Rows sink;
    const std::vector<std::byte> cut(whole.bytes.begin(), whole.bytes.begin() + static_cast<std::ptrdiff_t>(length));
    const auto chunk = parse_dump(cut, 7, sink);
    EXPECT_LE(sink.rows.size(), 2U);
    if (chunk) {
      EXPECT_FALSE(chunk->is_done) << length;
    }
  }
}

/// The filter inside an encoded request; empty when it has none.
std::vector<inet_diag_bc_op> filter_of(const std::vector<std::byte>& request) {
  std::vector<inet_diag_bc_op> program;
  constexpr std::size_t kFixed = sizeof(nlmsghdr) + sizeof(inet_diag_req);
  if (request.size() == kFixed) return program;
  nlattr attribute{};
  std::memcpy(&attribute, request.data() + kFixed, sizeof attribute);
  EXPECT_EQ(attribute.nla_type, INET_DIAG_REQ_BYTECODE);
  EXPECT_EQ(request.size(), kFixed + attribute.nla_len);
  program.resize((attribute.nla_len - sizeof attribute) / sizeof(inet_diag_bc_op));
  std::memcpy(program.data(), request.data() + kFixed + sizeof attribute, attribute.nla_len - sizeof attribute);
  return program;
}

/// What the kernel checks before it takes a filter (inet_diag_bc_audit): every jump forward, to the start of an
/// operation on the chain of `yes` jumps, and that chain ends exactly at the end.
bool is_accepted_by_kernel(const std::vector<inet_diag_bc_op>& program) {
  const int total = static_cast<int>(program.size() * sizeof(inet_diag_bc_op));
  std::vector<int> starts;
  for (int at = 0; at < total; at += program[static_cast<std::size_t>(at / 4)].yes) {
    starts.push_back(at);
    const auto& operation = program[static_cast<std::size_t>(at / 4)];
    const int shortest = operation.code == INET_DIAG_BC_JMP ? 4 : 8;
    const int left = total - at;
    if (operation.yes < shortest || operation.yes > left + 4 || operation.yes % 4 != 0) return false;
    if (operation.no < shortest || operation.no > left + 4 || operation.no % 4 != 0) return false;
  }
  starts.push_back(total);
  for (const int at : starts) {
    if (at == total) continue;
    const int target = at + program[static_cast<std::size_t>(at / 4)].no;
    if (target < total && std::find(starts.begin(), starts.end(), target) == starts.end()) return false;
  }
  return true;
}

/// What the kernel does for each socket (inet_diag_bc_run).
bool passes(const std::vector<inet_diag_bc_op>& program, std::uint16_t port) {
  int left = static_cast<int>(program.size() * sizeof(inet_diag_bc_op));
  std::size_t at = 0;
  while (left > 0) {
    const auto& operation = program[at];
    bool yes = true;
    if (operation.code == INET_DIAG_BC_S_GE) yes = port >= program[at + 1].no;
    if (operation.code == INET_DIAG_BC_S_LE) yes = port <= program[at + 1].no;
    if (operation.code == INET_DIAG_BC_JMP) yes = false;
    const int jump = yes ? operation.yes : operation.no;
    left -= jump;
    at += static_cast<std::size_t>(jump / 4);
  }
  return left == 0;
}

TEST(DiagRequest, asks_for_both_families_in_one_walk) {
  const auto request =
      encode_dump_request({StateMask(TcpState::kListen, TcpState::kTimeWait), DiagExtension::kTcpInfo, {}, {}}, 42);
  const auto* const header = reinterpret_cast<const nlmsghdr*>(request.data());
  EXPECT_EQ(header->nlmsg_len, request.size());
  EXPECT_EQ(header->nlmsg_type, TCPDIAG_GETSOCK);
  EXPECT_EQ(header->nlmsg_flags, NLM_F_REQUEST | NLM_F_DUMP);
  EXPECT_EQ(header->nlmsg_seq, 42U);
  inet_diag_req body{};
  std::memcpy(&body, request.data() + sizeof(nlmsghdr), sizeof body);
  EXPECT_EQ(body.idiag_states, (1U << 10) | (1U << 6));
  EXPECT_EQ(body.idiag_ext, 1U << (INET_DIAG_INFO - 1));
  EXPECT_TRUE(filter_of(request).empty());
}

TEST(DiagRequest, filters_ports_exactly_and_the_kernel_accepts_the_program) {
  EXPECT_TRUE(rc::check([] {
    auto ports = *rc::gen::container<std::vector<std::uint16_t>>(rc::gen::inRange<std::uint16_t>(1, 200));
    if (ports.size() > kMaximumFilterPorts) ports.resize(kMaximumFilterPorts);
    DiagRequest request;
    const bool accept = *rc::gen::arbitrary<bool>();
    (accept ? request.only_ports : request.except_ports) = ports;
    const auto program = filter_of(encode_dump_request(request, 1));
    RC_ASSERT(program.empty() == ports.empty());
    RC_ASSERT(is_accepted_by_kernel(program));
    for (std::uint16_t port = 0; port < 210 && !ports.empty(); ++port) {
      const bool is_listed = std::find(ports.begin(), ports.end(), port) != ports.end();
      RC_ASSERT(passes(program, port) == (is_listed == accept));
    }
  }));
}

class Ends final : public DestroyedSink {
 public:
  void on_destroyed(const telemetry::DestroyedSocket& socket) override { sockets.push_back(socket); }
  std::vector<telemetry::DestroyedSocket> sockets;
};

/// A tcp_info whose fields that matter are 1, 2, 3, 4 and 5.
std::vector<std::byte> numbered_info(std::size_t size) {
  tcp_info info{};
  info.tcpi_rtt = 1;
  info.tcpi_bytes_acked = 2;
  info.tcpi_advmss = 3;
  info.tcpi_last_data_recv = 4;
  info.tcpi_last_ack_recv = 5;
  std::vector<std::byte> bytes(sizeof info);
  std::memcpy(bytes.data(), &info, sizeof info);
  bytes.resize(size);
  return bytes;
}

TEST(DestroyedSockets, have_what_tells_how_they_ended) {
  auto payload = bytes_of(ipv4_row());
  add_attribute(payload, INET_DIAG_PROTOCOL, std::vector<std::byte>(1));
  add_attribute(payload, INET_DIAG_INFO, numbered_info(300));
  Ends ends;
  const auto chunk =
      parse_destroyed(Datagram().message(SOCK_DIAG_BY_FAMILY, payload, 0, 0).message(99, {}, 0, 0).bytes, ends);
  ASSERT_TRUE(chunk) << chunk.error().message();
  EXPECT_EQ(chunk->sockets, 1U);
  EXPECT_EQ(chunk->unknown, 1U);
  const telemetry::DestroyedSocket& socket = ends.sockets.at(0);
  EXPECT_EQ(socket.local.to_string(), "127.0.0.1");
  EXPECT_EQ(socket.remote.to_string(), "10.0.0.7");
  EXPECT_EQ(socket.local_port, 40'002);
  EXPECT_EQ(socket.remote_port, 9'000);
  EXPECT_FALSE(socket.is_ipv6_socket);
  EXPECT_EQ(socket.rtt_us, 1U);
  EXPECT_EQ(socket.bytes_acked, 2U);
  EXPECT_EQ(socket.advertised_mss, 3U);
  EXPECT_EQ(socket.last_data_received_ms, 4U);
  EXPECT_EQ(socket.last_ack_received_ms, 5U);
}

TEST(DestroyedSockets, lack_what_a_short_tcp_info_does_not_have) {
  auto payload = bytes_of(ipv4_row());
  add_attribute(payload, INET_DIAG_INFO, numbered_info(offsetof(tcp_info, tcpi_bytes_acked)));
  Ends ends;
  ASSERT_TRUE(parse_destroyed(Datagram().message(SOCK_DIAG_BY_FAMILY, payload, 0, 0).bytes, ends));
  EXPECT_EQ(ends.sockets.at(0).rtt_us, 1U);
  EXPECT_FALSE(ends.sockets.at(0).bytes_acked);
}

TEST(DestroyedSockets, survive_a_cut_anywhere) {
  auto payload = bytes_of(ipv4_row());
  add_attribute(payload, INET_DIAG_INFO, numbered_info(sizeof(tcp_info)));
  const Datagram whole = Datagram().message(SOCK_DIAG_BY_FAMILY, payload, 0, 0);
  for (std::size_t length = 1; length < whole.bytes.size(); ++length) {
    Ends ends;
    const std::vector<std::byte> cut(whole.bytes.begin(), whole.bytes.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_EQ(parse_destroyed(cut, ends).error().code, base::ErrorCode::kMalformed) << length;
    EXPECT_TRUE(ends.sockets.empty());
  }
}

TEST(DiagDump, reads_random_bytes_without_harm) {
  EXPECT_TRUE(rc::check([] {
    auto payload = bytes_of(ipv4_row());
    add_attribute(payload, INET_DIAG_INFO, std::vector<std::byte>(64));
    Datagram datagram = Datagram().message(TCPDIAG_GETSOCK, payload).message(TCPDIAG_GETSOCK, payload).done();
    const auto changes = *rc::gen::container<std::vector<std::pair<std::size_t, std::uint8_t>>>(
        rc::gen::pair(rc::gen::inRange<std::size_t>(0, datagram.bytes.size()), rc::gen::arbitrary<std::uint8_t>()));
    for (const auto& [at, value] : changes) datagram.bytes[at] = std::byte{value};
    Rows sink;
    const auto chunk = datagram.parse(sink);
    RC_ASSERT(sink.rows.size() <= 2U);
    if (chunk) RC_ASSERT(chunk->rows == sink.rows.size());
  }));
}

}  // namespace
}  // namespace tidewaiter::kernel
