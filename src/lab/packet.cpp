// SPDX-License-Identifier: Apache-2.0
#include "lab/packet.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <netinet/in.h>

namespace tidewaiter::lab {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kTcpHeader = 20;
constexpr std::size_t kIcmpHeader = 8;
constexpr std::size_t kMostOfRefused = 1'232;  // an ICMPv6 error must fit into the smallest MTU
constexpr std::uint8_t kIcmp = 1;              // protocol numbers
constexpr std::uint8_t kIcmpIpv6 = 58;
constexpr std::uint8_t kHops = 64;

std::uint16_t read16(Bytes bytes, std::size_t at) { return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]); }

std::uint32_t read32(Bytes bytes, std::size_t at) {
  return static_cast<std::uint32_t>(read16(bytes, at)) << 16 | read16(bytes, at + 2);
}

void write16(Packet& packet, std::size_t at, std::uint32_t value) {
  packet[at] = static_cast<std::uint8_t>(value >> 8);
  packet[at + 1] = static_cast<std::uint8_t>(value);
}

void write32(Packet& packet, std::size_t at, std::uint32_t value) {
  write16(packet, at, value >> 16);
  write16(packet, at + 2, value & 0xffff);
}

std::uint32_t sum(Bytes bytes) {
  std::uint32_t total = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) total += read16(bytes, i);
  return bytes.size() % 2 == 1 ? total + (static_cast<std::uint32_t>(bytes.back()) << 8) : total;
}

std::uint16_t folded(std::uint32_t total) {
  while (total >> 16 != 0) total = (total & 0xffff) + (total >> 16);
  return static_cast<std::uint16_t>(~total);
}

struct IpHeader {
  telemetry::Address source;
  telemetry::Address destination;
  std::uint8_t protocol = 0;
  std::size_t length = 0;  ///< where the payload begins
};

std::optional<IpHeader> parse_ip(Bytes packet) {
  if (packet.size() < kIpv4Header) return std::nullopt;
  if (packet[0] >> 4 == 4) {
    const std::size_t length = 4UL * (packet[0] & 0xf);
    if (length < kIpv4Header || packet.size() < length) return std::nullopt;
    return IpHeader{telemetry::Address::v4(read32(packet, 12)), telemetry::Address::v4(read32(packet, 16)), packet[9],
                    length};
  }
  if (packet[0] >> 4 != 6 || packet.size() < kIpv6Header) return std::nullopt;
  telemetry::Address::Bytes source;
  telemetry::Address::Bytes destination;
  std::copy_n(packet.begin() + 8, 16, source.begin());
  std::copy_n(packet.begin() + 24, 16, destination.begin());
  return IpHeader{telemetry::Address::v6(source), telemetry::Address::v6(destination), packet[6], kIpv6Header};
}

/// Of TCP, and of ICMPv6, whose checksums cover the addresses too.
std::uint32_t sum_of_pseudo_header(const IpHeader& header, std::size_t payload) {
  const std::size_t skipped = header.length == kIpv6Header ? 0 : 12;  // of an IPv4 address in its v4-mapped form
  return sum(Bytes(header.source.bytes()).subspan(skipped)) + sum(Bytes(header.destination.bytes()).subspan(skipped)) +
         header.protocol + static_cast<std::uint32_t>(payload);
}

/// The header, and room for the payload.
Packet make_ip(const IpHeader& header, std::size_t payload) {
  Packet packet(header.length + payload);
  const auto& source = header.source.bytes();
  const auto& destination = header.destination.bytes();
  if (header.length == kIpv6Header) {
    packet[0] = 0x60;
    write16(packet, 4, static_cast<std::uint32_t>(payload));
    packet[6] = header.protocol;
    packet[7] = kHops;
    std::copy(source.begin(), source.end(), packet.begin() + 8);
    std::copy(destination.begin(), destination.end(), packet.begin() + 24);
    return packet;
  }
  packet[0] = 0x45;
  write16(packet, 2, static_cast<std::uint32_t>(packet.size()));
  packet[8] = kHops;
  packet[9] = header.protocol;
  std::copy(source.begin() + 12, source.end(), packet.begin() + 12);
  std::copy(destination.begin() + 12, destination.end(), packet.begin() + 16);
  write16(packet, 10, folded(sum(Bytes(packet).first(kIpv4Header))));
  return packet;
}

std::uint16_t payload_checksum(const IpHeader& header, Bytes payload) {
  const bool is_icmp = header.protocol == kIcmp;
  return folded(sum(payload) + (is_icmp ? 0 : sum_of_pseudo_header(header, payload.size())));
}

struct IcmpMessage {
  std::uint8_t type;
  std::uint8_t code;
};

IcmpMessage message_of(Unreachable why, bool is_v4) {
  constexpr std::array<IcmpMessage, 5> kIpv4{{{3, 0}, {3, 1}, {3, 2}, {3, 3}, {3, 13}}};
  constexpr std::array<IcmpMessage, 5> kIpv6{{{1, 0}, {1, 3}, {4, 1}, {1, 4}, {1, 1}}};
  return (is_v4 ? kIpv4 : kIpv6).at(static_cast<std::size_t>(why));
}

}  // namespace

std::optional<Segment> parse_segment(Bytes packet) {
  const auto header = parse_ip(packet);
  if (!header || header->protocol != IPPROTO_TCP) return std::nullopt;
  const Bytes tcp = packet.subspan(header->length);
  if (tcp.size() < kTcpHeader) return std::nullopt;
  return Segment{header->source, header->destination, read16(tcp, 0), read16(tcp, 2),
                 read32(tcp, 4), read32(tcp, 8),      tcp[13]};
}

Packet make_packet(const Segment& segment) {
  const std::size_t length = segment.destination.is_v4() ? kIpv4Header : kIpv6Header;
  const IpHeader header{segment.source, segment.destination, IPPROTO_TCP, length};
  Packet packet = make_ip(header, kTcpHeader);
  write16(packet, length, segment.source_port);
  write16(packet, length + 2, segment.destination_port);
  write32(packet, length + 4, segment.sequence);
  write32(packet, length + 8, segment.acknowledgment);
  packet[length + 12] = kTcpHeader / 4 << 4;
  packet[length + 13] = segment.flags;
  write16(packet, length + 14, 0xffff);  // window
  write16(packet, length + 16, payload_checksum(header, Bytes(packet).subspan(length)));
  return packet;
}

Packet make_unreachable(Bytes refused, Unreachable why) {
  const auto about = parse_ip(refused);
  if (!about) return {};
  const bool is_v4 = about->source.is_v4();
  const IpHeader header{about->destination, about->source, is_v4 ? kIcmp : kIcmpIpv6,
                        is_v4 ? kIpv4Header : kIpv6Header};
  const std::size_t quoted = std::min(refused.size(), is_v4 ? about->length + kIcmpHeader : kMostOfRefused);
  Packet packet = make_ip(header, kIcmpHeader + quoted);
  const IcmpMessage message = message_of(why, is_v4);
  packet[header.length] = message.type;
  packet[header.length + 1] = message.code;
  const auto place = packet.begin() + static_cast<std::ptrdiff_t>(header.length + kIcmpHeader);
  std::copy_n(refused.begin(), quoted, place);
  write16(packet, header.length + 2, payload_checksum(header, Bytes(packet).subspan(header.length)));
  return packet;
}

bool has_right_checksums(Bytes packet) {
  const auto header = parse_ip(packet);
  if (!header) return false;
  const bool is_header_right = header->length == kIpv6Header || folded(sum(packet.first(header->length))) == 0;
  return is_header_right && payload_checksum(*header, packet.subspan(header->length)) == 0;
}

}  // namespace tidewaiter::lab
