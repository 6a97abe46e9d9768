// SPDX-License-Identifier: Apache-2.0
#include "kernel/proc_text.h"

#include <gtest/gtest.h>

namespace tidewaiter::kernel {
namespace {

TEST(PortRange, reads_two_ports_and_nothing_else) {
  EXPECT_EQ(parse_port_range("32768\t60999\n").value(), std::pair(std::uint16_t{32'768}, std::uint16_t{60'999}));
  EXPECT_EQ(parse_port_range(" 40000   40000").value().first, 40'000);
  for (const char* text : {"", "40000", "1 2 3", "60999 32768", "a b", "-1 5", "1 65536", "1.5 2"}) {
    EXPECT_EQ(parse_port_range(text).error().code, base::ErrorCode::kMalformed) << text;
  }
}

TEST(PortList, reads_ports_and_ranges) {
  const auto ports = parse_port_list("8080,9000-9002,65535\n").value();
  EXPECT_EQ(ports.count(), 5U);
  for (const auto port : {8080U, 9000U, 9001U, 9002U, 65'535U}) EXPECT_TRUE(ports.test(port)) << port;
  EXPECT_EQ(parse_port_list("\n").value().count(), 0U);
  EXPECT_EQ(parse_port_list("0-65535").value().count(), 65'536U);
  for (const char* text : {"a", "1-", "-1", "2-1", "1,,2", "65536", "1 2", "1-2-3", ",1"})
    EXPECT_FALSE(parse_port_list(text)) << text;
}

TEST(Number, is_one_unsigned_decimal) {
  EXPECT_EQ(parse_number("4096\n").value(), 4096U);
  for (const char* text : {"", "x", "1 2", "-1", "0x10", "18446744073709551616"})
    EXPECT_FALSE(parse_number(text)) << text;
}

TEST(Counters, pair_names_with_values) {
  const auto counters =
      parse_counter_pairs("Tcp: MaxConn ActiveOpens\nTcp: -1 17\nTcpExt: ListenDrops\nTcpExt: 4\n").value();
  EXPECT_EQ(counters.get("Tcp.MaxConn"), -1);
  EXPECT_EQ(counters.get("Tcp.ActiveOpens"), 17);
  EXPECT_EQ(counters.get("TcpExt.ListenDrops"), 4);
  EXPECT_FALSE(counters.get("TcpExt.SyncookiesSent")) << "not there is not 0";
}

TEST(Counters, degrade_to_absent_when_columns_are_missing) {
  const auto counters = parse_counter_pairs("Tcp: A B C\nTcp: 1 2\n").value();
  EXPECT_EQ(counters.get("Tcp.B"), 2);
  EXPECT_FALSE(counters.get("Tcp.C"));
  EXPECT_EQ(parse_counter_pairs("Tcp: A\nTcp: 1 2 3\n").value().size(), 1U);
  EXPECT_FALSE(parse_counter_pairs("Ip: A\nIp: 18446744073709551615\n").value().get("Ip.A"))
      << "no difference can be taken of it";
  EXPECT_EQ(parse_counter_pairs("").value().size(), 0U);
}

TEST(Counters, refuse_lines_that_do_not_pair) {
  EXPECT_FALSE(parse_counter_pairs("Tcp: A B\n"));
  EXPECT_FALSE(parse_counter_pairs("Tcp: A\nUdp: 1\n"));
  EXPECT_FALSE(parse_counter_pairs("Tcp A\nTcp 1\n"));
  EXPECT_FALSE(parse_counter_pairs("Tcp: A\nTcp: one\n"));
}

TEST(Sockstat, reads_counts_by_protocol) {
  const auto counters =
      parse_sockstat("sockets: used 118\nTCP: inuse 5 orphan 0 tw 2 alloc 106 mem 247\nTCP6: inuse 3\n").value();
  EXPECT_EQ(counters.get("TCP.inuse"), 5);
  EXPECT_EQ(counters.get("TCP.tw"), 2);
  EXPECT_EQ(counters.get("TCP6.inuse"), 3);
  EXPECT_FALSE(parse_sockstat("nonsense\n"));
  EXPECT_FALSE(parse_sockstat("TCP: inuse many\n"));
  EXPECT_EQ(parse_sockstat("TCP: inuse\n").value().size(), 0U);
}

}  // namespace
}  // namespace tidewaiter::kernel
