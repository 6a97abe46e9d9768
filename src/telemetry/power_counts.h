// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/instant.h"
#include "telemetry/histogram.h"

namespace tidewaiter::telemetry {

/// Durations counted by powers of two, for totals that are kept for a process's life: 350 bytes. Negative ones are left
/// out. Thread: the caller's.
class PowerCounts {
 public:
  static constexpr std::size_t kBuckets = 43;  ///< the last one is 2^42 ns (73 min) and more

  void add(base::Nanoseconds duration) {
    if (duration.count() < 0) return;
    ++buckets_[place_of(duration)];
    ++count_;
    sum_ += duration;
  }

  /// Those of a histogram that ended: its buckets end at powers of two.
  void add(const Histogram& durations) {
    durations.for_each_bucket([this](const Histogram::Bucket& bucket) {
      buckets_[place_of(bucket.lower)] += bucket.observed;
      count_ += bucket.observed;
    });
    sum_ += std::chrono::duration_cast<base::Nanoseconds>(durations.observed_sum());
  }

  void add(const PowerCounts& other) {
    for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    sum_ += other.sum_;
  }

  /// Durations below 2^power ns.
  [[nodiscard]] std::uint64_t below(std::size_t power) const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i <= power && i < kBuckets; ++i) sum += buckets_[i];
    return sum;
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] base::Nanoseconds sum() const { return sum_; }

 private:
  static std::size_t place_of(base::Nanoseconds duration) {
    return std::min<std::size_t>(std::bit_width(static_cast<std::uint64_t>(duration.count())), kBuckets - 1);
  }

  std::array<std::uint64_t, kBuckets> buckets_{};  ///< place p: from 2^(p − 1) to below 2^p ns
  std::uint64_t count_ = 0;
  base::Nanoseconds sum_{0};
};

}  // namespace tidewaiter::telemetry
