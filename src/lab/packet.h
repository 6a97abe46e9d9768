// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "telemetry/address.h"

/// IP packets as a tun device gives and takes them, without a link header. Pure.
/// RFC 791 and 8200 (IP), 9293 (TCP), 792 and 4443 (ICMP), 1071 (checksum).
namespace tidewaiter::lab {

using Packet = std::vector<std::uint8_t>;

inline constexpr std::uint8_t kTcpSyn = 0x02;
inline constexpr std::uint8_t kTcpReset = 0x04;
inline constexpr std::uint8_t kTcpAck = 0x10;

/// A TCP segment without data: what a handshake is made of. Both addresses are of one family.
struct Segment {
  telemetry::Address source;
  telemetry::Address destination;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;
  std::uint8_t flags = 0;
  friend bool operator==(const Segment&, const Segment&) = default;
};

/// Absent: not TCP, cut off, or with extension headers. Options and data are passed over, checksums are believed.
[[nodiscard]] std::optional<Segment> parse_segment(std::span<const std::uint8_t> packet);

[[nodiscard]] Packet make_packet(const Segment& segment);

/// Why a router, or the host itself, says that a packet did not get through.
enum class Unreachable : std::uint8_t { kNetwork, kHost, kProtocol, kPort, kProhibited };

/// The ICMP or ICMPv6 message about `refused`, which is an IP packet, sent by its destination. ICMPv6 has no message
/// about networks and protocols: it says "no route" and "next header not known".
[[nodiscard]] Packet make_unreachable(std::span<const std::uint8_t> refused, Unreachable why);

/// True when the checksums of the headers that these functions write are right.
[[nodiscard]] bool has_right_checksums(std::span<const std::uint8_t> packet);

}  // namespace tidewaiter::lab
