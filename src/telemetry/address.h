// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

namespace tidewaiter::telemetry {

/// An IP address. IPv4 is kept as its v4-mapped form (RFC 4291, 2.5.5.2), so that an IPv4 socket and a dual-stack
/// socket that talks IPv4 meet in one tuple.
class Address {
 public:
  using Bytes = std::array<std::uint8_t, 16>;

  /// The IPv6 unspecified address.
  constexpr Address() = default;

  /// `address` in host byte order: 0x7f000001 is 127.0.0.1.
  static constexpr Address v4(std::uint32_t address) {
    Address result;
    result.bytes_[10] = result.bytes_[11] = 0xff;
    for (std::size_t i = 0; i < 4; ++i) result.bytes_[12 + i] = static_cast<std::uint8_t>(address >> (24 - 8 * i));
    return result;
  }
  /// `address` as it stands in a packet or a socket address.
  static Address v4_network_order(std::uint32_t address) {
    Address result;
    result.bytes_[10] = result.bytes_[11] = 0xff;
    std::memcpy(result.bytes_.data() + 12, &address, sizeof address);
    return result;
  }
  static constexpr Address v6(const Bytes& network_order) {
    Address result;
    result.bytes_ = network_order;
    return result;
  }

  [[nodiscard]] bool is_v4() const { return high() == 0 && std::memcmp(bytes_.data() + 8, "\0\0\xff\xff", 4) == 0; }

  /// 0.0.0.0 or ::.
  [[nodiscard]] bool is_unspecified() const;

  /// 127.0.0.0/8 or ::1: what `tcp_tw_reuse` = 2 calls loopback.
  [[nodiscard]] bool is_loopback() const;

  /// IPv4 dotted, IPv6 by RFC 5952, no brackets.
  [[nodiscard]] std::string to_string() const;

  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

  /// The two halves as they lie in memory, for hashing.
  [[nodiscard]] std::uint64_t high() const { return half(0); }
  [[nodiscard]] std::uint64_t low() const { return half(8); }

  friend constexpr auto operator<=>(const Address&, const Address&) = default;
  friend constexpr bool operator==(const Address& left, const Address& right) {
    // Two words instead of a call of memcmp: addresses are compared for every socket of a look.
    using Words = std::array<std::uint64_t, 2>;
    return std::bit_cast<Words>(left.bytes_) == std::bit_cast<Words>(right.bytes_);
  }

 private:
  [[nodiscard]] std::uint64_t half(std::size_t offset) const {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }

  Bytes bytes_{};
};

/// Reads what to_string() writes, and every other textual form of an IPv4 or IPv6 address. No zone, no brackets.
[[nodiscard]] std::optional<Address> parse_address(const std::string& text);

/// Address and port as people write them: "127.0.0.1:9000", "[::1]:9000".
[[nodiscard]] std::string endpoint_to_string(const Address& address, std::uint16_t port);

}  // namespace tidewaiter::telemetry
