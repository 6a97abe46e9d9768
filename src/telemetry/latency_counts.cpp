// SPDX-License-Identifier: Apache-2.0
#include "telemetry/latency_counts.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace tidewaiter::telemetry {

std::size_t LatencyCounts::bucket_of(base::Nanoseconds duration) {
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
  if (ns < (std::uint64_t{1} << kFirstPower)) return 0;
  if (ns >= (std::uint64_t{1} << (kLastPower + 1))) return kBuckets - 1;
  const auto power = static_cast<unsigned>(std::bit_width(ns)) - 1;
  return 8 * (power - kFirstPower) + 1 + ((ns >> (power - 3)) & 7);
}

base::Nanoseconds LatencyCounts::lower(std::size_t bucket) {
  if (bucket == 0) return base::Nanoseconds(0);
  const std::size_t place = bucket - 1;
  const std::size_t power = kFirstPower + place / 8;
  return base::Nanoseconds(static_cast<std::int64_t>((8 + place % 8) << (power - 3)));
}

base::Nanoseconds LatencyCounts::middle(std::size_t bucket) {
  if (bucket + 1 >= kBuckets) return lower(kBuckets - 1);
  return (lower(bucket) + lower(bucket + 1)) / 2;
}

LatencyCounts& LatencyCounts::operator+=(const LatencyCounts& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  return *this;
}

LatencyCounts operator-(const LatencyCounts& later, const LatencyCounts& earlier) {
  LatencyCounts difference;
  for (std::size_t i = 0; i < LatencyCounts::kBuckets; ++i) {
    difference.counts_[i] = later.counts_[i] - earlier.counts_[i];
  }
  return difference;
}

std::uint64_t LatencyCounts::total() const { return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0}); }

std::optional<Quantile> quantile(const LatencyCounts& ended, const LatencyCounts& given_up, double q) {
  std::uint64_t at_risk = ended.total() + given_up.total();
  if (at_risk == 0) return std::nullopt;
  double running = 1;
  std::size_t last = 0;
  for (std::size_t i = 0; i < LatencyCounts::kBuckets; ++i) {
    const std::uint32_t endings = ended.counts()[i];
    if (endings > 0) {
      running *= 1 - static_cast<double>(endings) / static_cast<double>(at_risk);
      // A hair of slack: products of fractions miss 1 − q by the last bits.
      if (running <= 1 - q + 1e-12) return Quantile{LatencyCounts::middle(i), i + 1 == LatencyCounts::kBuckets};
    }
    if (endings > 0 || given_up.counts()[i] > 0) last = i;
    at_risk -= endings + given_up.counts()[i];
  }
  return Quantile{LatencyCounts::lower(last), true};
}

}  // namespace tidewaiter::telemetry
