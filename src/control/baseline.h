// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace tidewaiter::control {

/// A running median in constant memory: the P² algorithm (Jain and Chlamtac, CACM 28, 1985) for the quantile ½.
class RunningMedian {
 public:
  void add(double value);

  /// The estimate; exact up to five values. Only after at least one value.
  [[nodiscard]] double value() const;
  [[nodiscard]] std::uint32_t count() const { return count_; }

 private:
  static constexpr std::size_t kMarkers = 5;
  void adjust(std::size_t marker, double step);

  std::array<double, kMarkers> heights_{};
  std::array<double, kMarkers> positions_{1, 2, 3, 4, 5};
  std::uint32_t count_ = 0;
};

/// What a latency is in GREEN: the median of its windows' 95th percentiles, or a prior until enough were seen. Taken of
/// logarithms, so that a few windows a thousand times slower do not drag the estimate with them.
class Baseline {
 public:
  /// GREEN windows before the learnt median counts.
  static constexpr std::uint32_t kEnough = 30;

  /// Below a microsecond counts as one: clocks tell no less apart, and ratios need something to divide by.
  void learn(double p95_us);
  [[nodiscard]] bool is_learnt() const { return median_.count() >= kEnough; }
  [[nodiscard]] double value(double prior) const { return is_learnt() ? median_us_ : prior; }
  [[nodiscard]] std::uint32_t windows() const { return median_.count(); }

 private:
  RunningMedian median_;  ///< of log2 µs
  double median_us_ = 0;
};

}  // namespace tidewaiter::control
