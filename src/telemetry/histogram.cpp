// SPDX-License-Identifier: Apache-2.0
#include "telemetry/histogram.h"

#include <cassert>

namespace tidewaiter::telemetry {

using base::Nanoseconds;

void Histogram::add_censored(Nanoseconds elapsed) {
  if (elapsed.count() < 0) {
    ++negative_;
    return;
  }
  if (censored_.empty()) {
    censored_.resize(kBuckets);
  }
  ++censored_[bucket_of(elapsed)];
  ++censored_total_;
  censored_sum_ += static_cast<std::uint64_t>(elapsed.count());
  longest_censored_ = std::max(longest_censored_, elapsed);
}

void Histogram::merge(const Histogram& other) {
  if (!other.censored_.empty()) {
    censored_.resize(kBuckets);  // the one step that may throw, so it comes first
    for (std::size_t i = 0; i < kBuckets; ++i) {
      censored_[i] += other.censored_[i];
    }
  }
  for (std::size_t i = 0; i < kBuckets; ++i) {
    observed_[i] += other.observed_[i];
  }
  observed_total_ += other.observed_total_;
  censored_total_ += other.censored_total_;
  negative_ += other.negative_;
  observed_sum_ += other.observed_sum_;
  censored_sum_ += other.censored_sum_;
  longest_censored_ = std::max(longest_censored_, other.longest_censored_);
}

void Histogram::clear() {
  observed_.fill(0);
  censored_.clear();
  observed_total_ = censored_total_ = negative_ = 0;
  observed_sum_ = censored_sum_ = 0;
  longest_censored_ = Nanoseconds(0);
}

// Survival after a bucket is S · (1 − d/n) with n at risk and d endings. Without censoring in between the product
// telescopes to (n − d)/n of the last base, so it is kept as base · at_risk/base_at_risk and rounds once per censored
// bucket only; kRounding is far above that and far below one operation in a billion.
std::optional<Quantile> Histogram::quantile(double q) const {
  assert(q >= 0.0 && q <= 1.0);
  if (empty()) {
    return std::nullopt;
  }
  constexpr double kRounding = 1e-12;
  const double target = 1.0 - q + kRounding;
  std::uint64_t at_risk = observed_total_ + censored_total_;
  double base_survival = 1.0;
  auto base_at_risk = static_cast<double>(at_risk);
  for (std::size_t i = 0; i < kBuckets && at_risk != 0; ++i) {
    if (observed_[i] != 0) {
      at_risk -= observed_[i];
      if (base_survival * static_cast<double>(at_risk) / base_at_risk <= target) {
        const Bucket bucket = bucket_at(i);
        if (!bucket.upper) {
          return Quantile{.value = bucket.lower, .at_least = true};
        }
        return Quantile{.value = bucket.lower + (*bucket.upper - bucket.lower) / 2, .at_least = false};
      }
    }
    if (!censored_.empty() && censored_[i] != 0) {
      base_survival *= static_cast<double>(at_risk) / base_at_risk;
      at_risk -= censored_[i];
      base_at_risk = static_cast<double>(at_risk);
    }
  }
  return Quantile{.value = longest_censored_, .at_least = true};
}

Histogram::Bucket Histogram::bucket_at(std::size_t index) {
  constexpr std::size_t kPerPower = std::size_t{1} << kSubBits;
  const std::size_t power = index / kPerPower;
  // The first two groups share the finest step; a group after that starts at its own power of two.
  const std::size_t step_bits = kLinearBits + (power == 0 ? 0 : power - 1);
  const std::size_t steps = power == 0 ? index : kPerPower + index % kPerPower;
  Bucket bucket;
  bucket.lower = Nanoseconds(static_cast<std::int64_t>(steps << step_bits));
  if (index + 1 < kBuckets) {
    bucket.upper = Nanoseconds(static_cast<std::int64_t>((steps + 1) << step_bits));
  }
  return bucket;
}

}  // namespace tidewaiter::telemetry
