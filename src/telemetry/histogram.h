// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/instant.h"

namespace tidewaiter::telemetry {

/// A quantile of durations. `at_least`: the true quantile is no smaller than `value` and not known any better.
struct Quantile {
  base::Nanoseconds value{0};
  bool at_least = false;

  bool operator==(const Quantile&) const = default;
};

/// Durations, counted in log-linear buckets; those of operations that were given up count as censored.
///
/// Shape: 16 ns steps up to 2.048 us, from there 64 equal buckets per power of two, up to 2^42 ns (73 min); whatever is
/// longer is counted in one unbounded overflow bucket. The middle of a bucket is within 0.8 % of every duration in it
/// from 1 us on. Counts are exact and 64 bits wide. 17 kB, and as much again on the heap from the first censored
/// duration on.
///
/// A negative duration is the caller's bug (two clocks, or two swapped ends): it is counted in negative() and enters
/// nothing else, so that no quantile contains an invented zero.
///
/// Threads: none of its own; one writer, or a lock around it. Errors: add_censored, merge and copies may throw
/// std::bad_alloc, nothing else throws.
class Histogram {
 public:
  /// Half open: [lower, upper). The overflow bucket has no upper end.
  struct Bucket {
    base::Nanoseconds lower{0};
    std::optional<base::Nanoseconds> upper;
    std::uint64_t observed = 0;
    std::uint64_t censored = 0;
  };

  static constexpr std::size_t kBuckets = 2113;  ///< the overflow included
  static constexpr base::Nanoseconds kOverflow{std::int64_t{1} << 42};

  /// An operation that ended after `duration`.
  void add(base::Nanoseconds duration) {
    if (duration.count() < 0) [[unlikely]] {
      ++negative_;
      return;
    }
    ++observed_[bucket_of(duration)];
    ++observed_total_;
    observed_sum_ += static_cast<std::uint64_t>(duration.count());
  }

  /// An operation that was given up after `elapsed` (a failure, a time-out): it would have taken at least that long.
  void add_censored(base::Nanoseconds elapsed);

  /// Adds the counts of another histogram. Associative and commutative.
  void merge(const Histogram& other);
  void clear();

  [[nodiscard]] std::uint64_t observed() const { return observed_total_; }
  [[nodiscard]] std::uint64_t censored() const { return censored_total_; }
  [[nodiscard]] std::uint64_t negative() const { return negative_; }
  [[nodiscard]] bool empty() const { return observed_total_ == 0 && censored_total_ == 0; }

  /// Time spent in the operations that ended, and in those given up. Exact to the rounding of a double.
  [[nodiscard]] std::chrono::duration<double> observed_sum() const { return in_seconds(observed_sum_); }
  [[nodiscard]] std::chrono::duration<double> censored_sum() const { return in_seconds(censored_sum_); }

  /// The smallest duration by which a share q, in [0, 1], of the operations has ended: product-limit estimate (Kaplan
  /// and Meier 1958), in which an operation given up counts as still running at that time; in one bucket the endings
  /// come before the givings-up. Value: the middle of the bucket. Two cases are `at_least`: the quantile lies beyond
  /// the last ending because all that is left was given up (value: the largest censored time, exact), or it lies in the
  /// overflow bucket (value: kOverflow). Absent: nothing was added.
  [[nodiscard]] std::optional<Quantile> quantile(double q) const;

  /// Calls visit(const Bucket&) for every bucket that is not empty, in ascending order.
  template <class Visitor>
  void for_each_bucket(Visitor&& visit) const {
    for (std::size_t i = 0; i < kBuckets; ++i) {
      const std::uint64_t given_up = censored_.empty() ? 0 : censored_[i];
      if (observed_[i] != 0 || given_up != 0) {
        Bucket bucket = bucket_at(i);
        bucket.observed = observed_[i];
        bucket.censored = given_up;
        visit(static_cast<const Bucket&>(bucket));
      }
    }
  }

  /// The empty bucket that a duration ≥ 0 belongs to.
  [[nodiscard]] static Bucket bounds_of(base::Nanoseconds duration) { return bucket_at(bucket_of(duration)); }

  bool operator==(const Histogram&) const = default;

 private:
  // An alias-declaration takes no __extension__. NOLINTNEXTLINE(modernize-use-using)
  __extension__ typedef unsigned __int128 Wide;

  static constexpr int kSubBits = 6;     // 64 buckets per power of two
  static constexpr int kLinearBits = 4;  // the finest step, 16 ns

  /// Up to 2.048 us the step is constant, so that the first 128 buckets are linear and the rest follows in groups
  /// of 64.
  static constexpr std::size_t bucket_of(base::Nanoseconds duration) {
    constexpr std::uint64_t kFirstPower = std::uint64_t{1} << (kSubBits + kLinearBits);
    const auto ns =
        std::min(static_cast<std::uint64_t>(duration.count()), static_cast<std::uint64_t>(kOverflow.count()));
    const auto shift = static_cast<unsigned>(std::bit_width(ns | kFirstPower)) - (kSubBits + 1);
    return ((shift - kLinearBits) << kSubBits) + static_cast<std::size_t>(ns >> shift);
  }
  static_assert(kSubBits == 6 && kBuckets == ((42 - kSubBits - kLinearBits) << kSubBits) + 65);

  static Bucket bucket_at(std::size_t index);
  static std::chrono::duration<double> in_seconds(Wide ns) {
    return std::chrono::duration<double>(static_cast<double>(ns) * 1e-9);
  }

  std::array<std::uint64_t, kBuckets> observed_{};
  std::vector<std::uint64_t> censored_;  // empty until the first censored duration, then kBuckets
  std::uint64_t observed_total_ = 0;
  std::uint64_t censored_total_ = 0;
  std::uint64_t negative_ = 0;
  Wide observed_sum_ = 0;  // ns
  Wide censored_sum_ = 0;  // ns
  base::Nanoseconds longest_censored_{0};
};

}  // namespace tidewaiter::telemetry
