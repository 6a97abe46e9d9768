// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/instant.h"
#include "telemetry/histogram.h"

namespace tidewaiter::telemetry {

/// Durations counted in log-linear buckets, eight a power of two from 256 ns to 275 s: what a source that counts in the
/// kernel hands over. A bucket's middle is within 6 % of every duration in it. 1 KB; `Histogram` is the finer one for
/// durations that pass through this process.
/// Threads: a plain value.
class LatencyCounts {
 public:
  static constexpr int kFirstPower = 8;
  static constexpr int kLastPower = 37;
  static constexpr std::size_t kBuckets = 8 * (kLastPower - kFirstPower + 1) + 2;
  using Counts = std::array<std::uint32_t, kBuckets>;

  LatencyCounts() = default;
  explicit LatencyCounts(const Counts& counts) : counts_(counts) {}

  [[nodiscard]] static std::size_t bucket_of(base::Nanoseconds duration);

  /// [lower, upper) of a bucket; the last has no upper end but kOverflow.
  [[nodiscard]] static base::Nanoseconds lower(std::size_t bucket);
  [[nodiscard]] static base::Nanoseconds middle(std::size_t bucket);

  void add(base::Nanoseconds duration) { ++counts_[bucket_of(duration)]; }
  LatencyCounts& operator+=(const LatencyCounts& other);

  /// What was added between two readings of one counter, which counts modulo 2^32.
  friend LatencyCounts operator-(const LatencyCounts& later, const LatencyCounts& earlier);

  [[nodiscard]] std::uint64_t total() const;
  [[nodiscard]] const Counts& counts() const { return counts_; }

  friend bool operator==(const LatencyCounts&, const LatencyCounts&) = default;

 private:
  Counts counts_{};
};

/// The duration by which a share q, in [0, 1], of the operations has ended, where those given up count as still running
/// at the time they had waited: product-limit estimate, as Histogram::quantile(). Absent: nothing was counted.
[[nodiscard]] std::optional<Quantile> quantile(const LatencyCounts& ended, const LatencyCounts& given_up, double q);

}  // namespace tidewaiter::telemetry
