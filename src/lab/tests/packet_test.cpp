// SPDX-License-Identifier: Apache-2.0
#include "lab/packet.h"

#include <gtest/gtest.h>

namespace tidewaiter::lab {
namespace {

using telemetry::Address;

constexpr Address kIpv4 = Address::v4(0x0a000001);
constexpr Address kOtherIpv4 = Address::v4(0x0a000002);
constexpr Address kIpv6 = Address::v6({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
constexpr Address kOtherIpv6 = Address::v6({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2});

/// A SYN with the options that Linux sends: MSS, SACK, time stamps, window scale.
constexpr std::uint8_t kSynWithOptions[] = {0x45, 0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x06, 0x0a, 0x74,
                                            0x0a, 0x00, 0x00, 0x01, 0x0a, 0x00, 0x00, 0x02, 0x9c, 0x40, 0x23, 0x28,
                                            0x00, 0x00, 0x00, 0x7b, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0xfa, 0xf0,
                                            0x00, 0x00, 0x00, 0x00, 0x02, 0x04, 0x05, 0xb4, 0x04, 0x02, 0x08, 0x0a,
                                            0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x07};

Segment segment(const Address& source, const Address& destination) {
  return {source, destination, 40'000, 9'000, 123, 456, kTcpSyn | kTcpAck};
}

TEST(Packet, is_read_back) {
  for (const Segment& sent : {segment(kIpv4, kOtherIpv4), segment(kIpv6, kOtherIpv6)}) {
    const Packet packet = make_packet(sent);
    EXPECT_EQ(parse_segment(packet), sent);
    EXPECT_TRUE(has_right_checksums(packet));
  }
}

TEST(Packet, with_options_is_read_past_them) {
  const auto syn = parse_segment(kSynWithOptions);
  ASSERT_TRUE(syn);
  EXPECT_EQ(*syn, (Segment{kIpv4, kOtherIpv4, 40'000, 9'000, 123, 0, kTcpSyn}));
}

TEST(Packet, of_which_a_bit_is_turned_has_wrong_checksums) {
  for (const Segment& sent : {segment(kIpv4, kOtherIpv4), segment(kIpv6, kOtherIpv6)}) {
    const std::size_t header = sent.source.is_v4() ? 20 : 40;
    for (const std::size_t place : {header - 1, header + 1, header + 7, header + 13}) {
      Packet packet = make_packet(sent);
      packet[place] ^= 0x10;
      EXPECT_FALSE(has_right_checksums(packet)) << place;
    }
  }
}

TEST(Packet, that_is_cut_off_or_not_tcp_is_no_segment) {
  for (const Segment& sent : {segment(kIpv4, kOtherIpv4), segment(kIpv6, kOtherIpv6)}) {
    const Packet whole = make_packet(sent);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      EXPECT_EQ(parse_segment(std::span(whole).first(length)), std::nullopt) << length;
    }
  }
  EXPECT_EQ(parse_segment(make_unreachable(make_packet(segment(kIpv4, kOtherIpv4)), Unreachable::kHost)), std::nullopt);
}

TEST(Unreachable, quotes_what_was_refused_and_goes_back) {
  const Packet refused = make_packet(segment(kIpv4, kOtherIpv4));
  const Packet message = make_unreachable(refused, Unreachable::kProhibited);
  ASSERT_EQ(message.size(), 20U + 8 + 28) << "header, ICMP, and the refused header with eight bytes more";
  EXPECT_TRUE(has_right_checksums(message));
  EXPECT_EQ(message[9], 1) << "ICMP";
  EXPECT_EQ(message[15], 2) << "from whom it was meant for";
  EXPECT_EQ(message[19], 1);
  EXPECT_EQ(message[20], 3);
  EXPECT_EQ(message[21], 13);
  EXPECT_TRUE(std::equal(refused.begin(), refused.begin() + 28, message.begin() + 28));
}

TEST(Unreachable, of_ipv6_has_types_and_a_checksum_of_its_own) {
  const Packet refused = make_packet(segment(kIpv6, kOtherIpv6));
  const Packet message = make_unreachable(refused, Unreachable::kHost);
  ASSERT_EQ(message.size(), 40U + 8 + refused.size());
  EXPECT_TRUE(has_right_checksums(message));
  EXPECT_EQ(message[6], 58) << "ICMPv6";
  EXPECT_EQ(message[40], 1);
  EXPECT_EQ(message[41], 3);
  EXPECT_TRUE(std::equal(refused.begin(), refused.end(), message.begin() + 48));
}

TEST(Unreachable, is_nothing_about_nothing) { EXPECT_TRUE(make_unreachable({}, Unreachable::kHost).empty()); }

}  // namespace
}  // namespace tidewaiter::lab
