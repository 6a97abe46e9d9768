// SPDX-License-Identifier: Apache-2.0
#include "telemetry/histogram.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <set>
#include <vector>

namespace tidewaiter::telemetry {
namespace {

using base::Microseconds;
using base::Milliseconds;
using base::Nanoseconds;
using base::Seconds;

constexpr std::int64_t kHourNs = 3'600'000'000'000;

/// Log-uniform over [low, high] ns.
rc::Gen<Nanoseconds> log_uniform(double low, double high) {
  return rc::gen::map(rc::gen::inRange(0, 1'000'001),
                      [=](int step) { return Nanoseconds(std::llround(low * std::pow(high / low, step / 1e6))); });
}

/// Durations over the whole range and beyond it on both sides, some of them censored.
struct Sample {
  Nanoseconds duration{0};
  bool censored = false;
};

rc::Gen<std::vector<Sample>> samples() {
  return rc::gen::container<std::vector<Sample>>(rc::gen::apply(
      [](Nanoseconds duration, bool censored) {
        return Sample{duration, censored};
      },
      rc::gen::oneOf(log_uniform(1, 2e13),
                     rc::gen::map(rc::gen::inRange(-5, 3000), [](int ns) { return Nanoseconds(ns); })),
      rc::gen::arbitrary<bool>()));
}

Histogram histogram_of(const std::vector<Sample>& data) {
  Histogram histogram;
  for (const auto& [duration, censored] : data) {
    if (censored) {
      histogram.add_censored(duration);
    } else {
      histogram.add(duration);
    }
  }
  return histogram;
}

Histogram merged(Histogram left, const Histogram& right) {
  left.merge(right);
  return left;
}

Nanoseconds middle_of(Nanoseconds duration) {
  const auto bucket = Histogram::bounds_of(duration);
  return bucket.lower + (bucket.upper.value() - bucket.lower) / 2;
}

/// Product-limit estimate by its definition: at every distinct time, n and d are counted anew over all samples.
std::optional<Quantile> kaplan_meier(const std::vector<Sample>& data, double q) {
  if (data.empty()) {
    return std::nullopt;
  }
  std::set<Nanoseconds> times;
  for (const auto& sample : data) {
    times.insert(sample.duration);
  }
  double survival = 1.0;
  for (const Nanoseconds time : times) {
    const auto at_risk = std::count_if(data.begin(), data.end(), [&](auto& s) { return s.duration >= time; });
    const auto ended =
        std::count_if(data.begin(), data.end(), [&](auto& s) { return s.duration == time && !s.censored; });
    survival *= 1.0 - static_cast<double>(ended) / static_cast<double>(at_risk);
    if (ended != 0 && survival <= 1.0 - q + 1e-9) {
      return Quantile{.value = time, .at_least = false};
    }
  }
  return Quantile{.value = *times.rbegin(), .at_least = true};
}

TEST(Histogram, is_small) { EXPECT_LE(sizeof(Histogram), 20'000U); }

TEST(Histogram, has_no_quantile_when_empty) {
  Histogram histogram;
  EXPECT_FALSE(histogram.quantile(0.5));
  histogram.add(Nanoseconds(-1));
  EXPECT_FALSE(histogram.quantile(0.5));
}

TEST(Histogram, puts_every_duration_into_the_bucket_that_contains_it) {
  EXPECT_TRUE(rc::check([] {
    const auto duration = *rc::gen::oneOf(
        log_uniform(1, 9e18), rc::gen::map(rc::gen::inRange(0, 5000), [](int ns) { return Nanoseconds(ns); }));
    const auto bucket = Histogram::bounds_of(duration);
    RC_ASSERT(bucket.lower <= duration);
    RC_ASSERT((!bucket.upper || duration < *bucket.upper));
    RC_ASSERT(bucket.upper.has_value() == (duration < Histogram::kOverflow));
  }));
}

TEST(Histogram, covers_every_duration_once_and_within_one_percent) {
  std::size_t buckets = 1;
  Nanoseconds upper(0);
  for (auto bucket = Histogram::bounds_of(upper); bucket.upper; bucket = Histogram::bounds_of(upper), ++buckets) {
    ASSERT_EQ(bucket.lower, upper);
    upper = bucket.upper.value();
    const auto half = static_cast<double>((upper - bucket.lower).count()) / 2;
    if (upper > Microseconds(1)) {
      EXPECT_LE(half, 0.01 * static_cast<double>(std::max(bucket.lower, Nanoseconds(1000)).count()));
    } else {
      EXPECT_EQ(half, 8.0);
    }
  }
  EXPECT_EQ(upper, Histogram::kOverflow);
  EXPECT_EQ(buckets, Histogram::kBuckets);
}

TEST(Histogram, loses_nothing_above_an_hour) {
  Histogram histogram;
  histogram.add(Seconds(3600));
  histogram.add(Nanoseconds::max());
  histogram.add_censored(Nanoseconds::max());
  EXPECT_EQ(histogram.observed(), 2U);
  EXPECT_EQ(histogram.censored(), 1U);
  const Quantile beyond{.value = Histogram::kOverflow, .at_least = true};
  EXPECT_EQ(histogram.quantile(0.6), beyond);
  EXPECT_NEAR(histogram.observed_sum().count(), 3600 + 9223372036.854775807, 1e-5);
}

TEST(Histogram, counts_negative_durations_apart) {
  Histogram histogram;
  histogram.add(Nanoseconds(-1));
  histogram.add_censored(Nanoseconds::min());
  EXPECT_EQ(histogram.negative(), 2U);
  EXPECT_TRUE(histogram.empty());
  EXPECT_EQ(histogram.observed_sum().count(), 0.0);
}

TEST(Histogram, shows_exporters_what_was_added) {
  EXPECT_TRUE(rc::check([] {
    const auto data = *samples();
    const auto histogram = histogram_of(data);
    std::uint64_t observed = 0;
    std::uint64_t censored = 0;
    Nanoseconds last(-1);
    double sum = 0;
    histogram.for_each_bucket([&](const Histogram::Bucket& bucket) {
      RC_ASSERT(bucket.lower > last);
      last = bucket.lower;
      const auto inside = [&](bool given_up) {
        return static_cast<std::uint64_t>(std::count_if(data.begin(), data.end(), [&](const Sample& s) {
          return s.censored == given_up && s.duration >= bucket.lower && (!bucket.upper || s.duration < *bucket.upper);
        }));
      };
      RC_ASSERT(bucket.observed == inside(false));
      RC_ASSERT(bucket.censored == inside(true));
      observed += bucket.observed;
      censored += bucket.censored;
    });
    for (const auto& sample : data) {
      sum += sample.duration.count() < 0 ? 0.0 : static_cast<double>(sample.duration.count()) * 1e-9;
    }
    RC_ASSERT(observed == histogram.observed());
    RC_ASSERT(censored == histogram.censored());
    RC_ASSERT(observed + censored + histogram.negative() == data.size());
    RC_ASSERT(std::abs(histogram.observed_sum().count() + histogram.censored_sum().count() - sum) <= 1e-9 * (1 + sum));
  }));
}

TEST(Histogram, conserves_counts_when_merged) {
  EXPECT_TRUE(rc::check([] {
    const auto left = *samples();
    const auto right = *samples();
    auto both = left;
    both.insert(both.end(), right.begin(), right.end());
    RC_ASSERT(merged(histogram_of(left), histogram_of(right)) == histogram_of(both));
  }));
}

TEST(Histogram, merges_in_any_order_and_grouping) {
  EXPECT_TRUE(rc::check([] {
    const auto a = histogram_of(*samples());
    const auto b = histogram_of(*samples());
    const auto c = histogram_of(*samples());
    RC_ASSERT(merged(a, b) == merged(b, a));
    RC_ASSERT(merged(merged(a, b), c) == merged(a, merged(b, c)));
    RC_ASSERT(merged(a, Histogram()) == a);
  }));
}

TEST(Histogram, starts_anew_when_cleared) {
  Histogram histogram = histogram_of({{Seconds(1), false}, {Seconds(2), true}, {Nanoseconds(-1), false}});
  histogram.clear();
  EXPECT_EQ(histogram, Histogram());
  histogram.add_censored(Seconds(1));
  EXPECT_EQ(histogram, histogram_of({{Seconds(1), true}}));
}

TEST(Histogram, quantiles_are_within_one_percent_of_the_sorted_sample) {
  EXPECT_TRUE(rc::check([] {
    auto data = *rc::gen::nonEmpty(
        rc::gen::container<std::vector<Nanoseconds>>(log_uniform(1000, static_cast<double>(kHourNs))));
    const auto permille = *rc::gen::inRange<std::size_t>(0, 1001);
    Histogram histogram;
    for (const auto duration : data) {
      histogram.add(duration);
    }
    std::sort(data.begin(), data.end());
    const auto rank = std::max<std::size_t>(1, (permille * data.size() + 999) / 1000);
    const auto exact = static_cast<double>(data[rank - 1].count());
    const auto quantile = histogram.quantile(static_cast<double>(permille) / 1000).value();
    RC_ASSERT(!quantile.at_least);
    RC_ASSERT(std::abs(static_cast<double>(quantile.value.count()) - exact) <= 0.01 * exact);
  }));
}

TEST(Histogram, quantiles_agree_with_kaplan_and_meier) {
  EXPECT_TRUE(rc::check([] {
    // Few distinct times, each the middle of its bucket, so that ties between endings and givings-up are common.
    auto data = *rc::gen::container<std::vector<Sample>>(rc::gen::apply(
        [](int ms, bool censored) {
          return Sample{middle_of(Milliseconds(ms)), censored};
        },
        rc::gen::inRange(1, 12), rc::gen::arbitrary<bool>()));
    const auto q = static_cast<double>(*rc::gen::inRange(0, 101)) / 100;
    RC_ASSERT(histogram_of(data).quantile(q) == kaplan_meier(data, q));
  }));
}

TEST(Histogram, says_at_least_when_the_rest_was_given_up) {
  Histogram histogram;
  for (int i = 0; i < 90; ++i) {
    histogram.add(Milliseconds(1));
  }
  for (int i = 0; i < 10; ++i) {
    histogram.add_censored(Seconds(3));
  }
  const Quantile median = histogram.quantile(0.5).value();
  EXPECT_FALSE(median.at_least);
  EXPECT_NEAR(static_cast<double>(median.value.count()), 1e6, 1e4);
  const Quantile given_up{.value = Seconds(3), .at_least = true};
  EXPECT_EQ(histogram.quantile(0.95), given_up);
}

}  // namespace
}  // namespace tidewaiter::telemetry
