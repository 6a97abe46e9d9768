// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace tidewaiter::telemetry {

/// A set of ports, 0 to 65535, as a bitmap of 8 KB whose words can be walked and combined.
class PortSet {
 public:
  static constexpr std::uint32_t kPorts = 65'536;
  static constexpr std::uint32_t kWordBits = 64;
  using Words = std::array<std::uint64_t, kPorts / kWordBits>;

  /// All ports from `lo` to `hi`, both included.
  static PortSet range(std::uint16_t lo, std::uint16_t hi) {
    PortSet set;
    for (std::uint32_t word = lo / kWordBits; word <= hi / kWordBits; ++word) set.words_[word] = ~std::uint64_t{0};
    set.words_[lo / kWordBits] &= ~std::uint64_t{0} << (lo % kWordBits);
    set.words_[hi / kWordBits] &= ~std::uint64_t{0} >> (kWordBits - 1 - hi % kWordBits);
    return set;
  }

  [[nodiscard]] bool test(std::uint32_t port) const {
    return (words_[port / kWordBits] >> (port % kWordBits) & 1) != 0;
  }
  void set(std::uint32_t port) { words_[port / kWordBits] |= std::uint64_t{1} << (port % kWordBits); }
  void reset(std::uint32_t port) { words_[port / kWordBits] &= ~(std::uint64_t{1} << (port % kWordBits)); }

  [[nodiscard]] std::uint32_t count() const { return count_in(~std::uint64_t{0}); }

  /// Ports of one parity: even ones, or odd ones.
  [[nodiscard]] std::uint32_t count_even() const { return count_in(kEvenBits); }
  [[nodiscard]] std::uint32_t count_odd() const { return count_in(~kEvenBits); }

  PortSet& operator-=(const PortSet& other) {
    for (std::size_t word = 0; word < words_.size(); ++word) words_[word] &= ~other.words_[word];
    return *this;
  }

  PortSet& operator|=(const PortSet& other) {
    for (std::size_t word = 0; word < words_.size(); ++word) words_[word] |= other.words_[word];
    return *this;
  }

  /// Calls visit(port) for every port, in ascending order.
  template <class Visitor>
  void for_each(Visitor&& visit) const {
    for (std::uint32_t word = 0; word < words_.size(); ++word) {
      for (std::uint64_t bits = words_[word]; bits != 0; bits &= bits - 1) {
        visit(static_cast<std::uint16_t>(word * kWordBits + static_cast<std::uint32_t>(std::countr_zero(bits))));
      }
    }
  }

  /// Bit b of word w is port 64 · w + b.
  [[nodiscard]] const Words& words() const { return words_; }

  friend bool operator==(const PortSet&, const PortSet&) = default;

 private:
  static constexpr std::uint64_t kEvenBits = 0x5555'5555'5555'5555;

  [[nodiscard]] std::uint32_t count_in(std::uint64_t mask) const {
    std::uint32_t ports = 0;
    for (const std::uint64_t word : words_) {
      // Most words are empty; counting bits is a call on processors that are not assumed to do it.
      if (word != 0) ports += static_cast<std::uint32_t>(std::popcount(word & mask));
    }
    return ports;
  }

  Words words_{};
};

}  // namespace tidewaiter::telemetry
