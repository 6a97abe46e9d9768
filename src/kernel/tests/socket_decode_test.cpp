// SPDX-License-Identifier: Apache-2.0
#include "kernel/socket_decode.h"

#include <cstring>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "kernel/wire/socket_wire.h"

namespace tidewaiter::kernel {
namespace {

using telemetry::Address;
using telemetry::SocketRow;
using telemetry::TcpState;

class Rows final : public telemetry::RowSink {
 public:
  void on_row(const SocketRow& row) override { rows.push_back(row); }
  void on_restart() override { rows.clear(); }
  std::vector<SocketRow> rows;
};

tw_socket_v4 narrow(std::uint8_t state, unsigned flags = 0, std::uint16_t amount = 0) {
  return {{11, 40'002, 9000, amount, state, static_cast<std::uint8_t>(flags)}, {127, 0, 0, 1}, {10, 0, 0, 7}};
}

tw_socket_wide wide(std::uint8_t state, unsigned flags = 0, std::uint32_t amount = 0) {
  tw_socket_wide record{};
  record.head = {12, 40'003, 9001, 0, state, static_cast<std::uint8_t>(flags | TW_SOCKET_WIDE)};
  record.source[15] = 1;
  record.destination[0] = 0xfd;
  record.destination[15] = 7;
  record.amount = amount;
  return record;
}

class Stream {
 public:
  template <class Record>
  Stream& add(const Record& record) {
    const auto* const begin = reinterpret_cast<const std::byte*>(&record);
    bytes.insert(bytes.end(), begin, begin + sizeof record);
    return *this;
  }
  std::vector<std::byte> bytes;
};

std::vector<SocketRow> rows_of(const Stream& stream, unsigned hz = 250) {
  Rows rows;
  const auto chunk = parse_sockets(stream.bytes, Tick(hz), rows);
  EXPECT_TRUE(chunk) << chunk.error().message();
  EXPECT_EQ(chunk->bytes, stream.bytes.size());
  EXPECT_EQ(chunk->rows, rows.rows.size());
  return rows.rows;
}

TEST(SocketRecords, carry_connections_of_both_families) {
  const auto rows = rows_of(Stream().add(narrow(1)).add(wide(8)).add(narrow(2, TW_SOCKET_RETRANSMITTED)));
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].local, Address::v4(0x7f000001));
  EXPECT_EQ(rows[0].remote, Address::v4(0x0a000007));
  EXPECT_EQ(rows[0].local_port, 40'002);
  EXPECT_EQ(rows[0].remote_port, 9000);
  EXPECT_EQ(rows[0].cookie, 11U);
  EXPECT_EQ(rows[0].state, TcpState::kEstablished);
  EXPECT_FALSE(rows[0].is_mini_socket() || rows[0].last_data_sent_ms || rows[0].half_open);
  EXPECT_EQ(rows[1].local, *telemetry::parse_address("::1"));
  EXPECT_EQ(rows[1].remote, *telemetry::parse_address("fd00::7"));
  EXPECT_EQ(rows[1].state, TcpState::kCloseWait);
  EXPECT_EQ(rows[2].state, TcpState::kSynSent);
  EXPECT_EQ(rows[2].retransmits, 1);
}

TEST(SocketRecords, tell_by_flag_what_their_number_means) {
  const auto rows = rows_of(Stream()
                                .add(narrow(6, TW_SOCKET_MINI, 15'000))
                                .add(wide(5, TW_SOCKET_MINI, 100'000))
                                .add(narrow(1, TW_SOCKET_WAITS, 25))
                                .add(wide(10, 0, 3)));
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_TRUE(rows[0].is_mini_socket());
  EXPECT_EQ(rows[0].expires_ms, 60'000U);
  EXPECT_TRUE(rows[1].is_mini_socket());
  EXPECT_EQ(rows[1].state, TcpState::kFinWait2);
  EXPECT_EQ(rows[1].expires_ms, 400'000U);
  EXPECT_EQ(rows[2].last_data_sent_ms, 100U);
  EXPECT_FALSE(rows[2].is_mini_socket());
  EXPECT_EQ(rows[3].half_open, 3U);
}

TEST(SocketRecords, count_ticks_as_the_kernel_does) {
  EXPECT_EQ(Tick(1'000).milliseconds(7), 7U);
  EXPECT_EQ(Tick(250).milliseconds(7), 28U);
  EXPECT_EQ(Tick(100).milliseconds(7), 70U);
  EXPECT_EQ(Tick(300).milliseconds(7), 24U) << "upwards";
  EXPECT_EQ(Tick(300).milliseconds(3), 10U);
  EXPECT_EQ(Tick(1'024).milliseconds(1'024), 1'000U);
}

TEST(SocketRecords, wait_for_the_rest_of_a_record) {
  const Stream whole = Stream().add(narrow(1)).add(wide(1)).add(narrow(2));
  for (std::size_t length = 0; length <= whole.bytes.size(); ++length) {
    // A copy of the exact size, so that a sanitizer sees a byte too far.
    const std::vector<std::byte> part(whole.bytes.begin(), whole.bytes.begin() + static_cast<std::ptrdiff_t>(length));
    Rows rows;
    const auto chunk = parse_sockets(part, Tick(250), rows);
    ASSERT_TRUE(chunk);
    EXPECT_EQ(chunk->rows, length < 24 ? 0U : length < 80 ? 1U : length < 104 ? 2U : 3U) << length;
    EXPECT_EQ(chunk->bytes, length < 24 ? 0U : length < 80 ? 24U : length < 104 ? 80U : 104U) << length;
  }
}

TEST(SocketRecords, are_refused_with_a_state_or_a_flag_that_none_has) {
  for (const auto& record : {narrow(0), narrow(13), narrow(255), narrow(1, 16), narrow(1, 128)}) {
    Rows rows;
    const auto chunk = parse_sockets(Stream().add(narrow(1)).add(record).bytes, Tick(250), rows);
    ASSERT_FALSE(chunk);
    EXPECT_EQ(chunk.error().code, base::ErrorCode::kMalformed);
  }
}

}  // namespace
}  // namespace tidewaiter::kernel
