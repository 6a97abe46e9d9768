// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace tidewaiter::telemetry {

/// A set of ports, 0 to 65535, as a bitmap of 8 KB whose words can be walked.
class PortSet {
 public:
  static constexpr std::uint32_t kPorts = 65'536;
  static constexpr std::uint32_t kWordBits = 64;
  using Words = std::array<std::uint64_t, kPorts / kWordBits>;

  [[nodiscard]] bool test(std::uint32_t port) const {
    return (words_[port / kWordBits] >> (port % kWordBits) & 1) != 0;
  }
  void set(std::uint32_t port) { words_[port / kWordBits] |= std::uint64_t{1} << (port % kWordBits); }
  void reset(std::uint32_t port) { words_[port / kWordBits] &= ~(std::uint64_t{1} << (port % kWordBits)); }

  [[nodiscard]] std::uint32_t count() const {
    std::uint32_t ports = 0;
    for (const std::uint64_t word : words_) ports += static_cast<std::uint32_t>(std::popcount(word));
    return ports;
  }

  /// Bit b of word w is port 64 · w + b.
  [[nodiscard]] const Words& words() const { return words_; }

  friend bool operator==(const PortSet&, const PortSet&) = default;

 private:
  Words words_{};
};

}  // namespace tidewaiter::telemetry
