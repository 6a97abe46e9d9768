// SPDX-License-Identifier: Apache-2.0
#include "control/baseline.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <rapidcheck.h>
#include <vector>

namespace tidewaiter::control {
namespace {

/// Share of the values below the estimate: ½ for an exact median, whatever the distribution.
double rank_of(const std::vector<double>& values, double estimate) {
  const auto below = std::count_if(values.begin(), values.end(), [&](double value) { return value < estimate; });
  const auto equal = std::count(values.begin(), values.end(), estimate);
  return (static_cast<double>(below) + static_cast<double>(equal) / 2) / static_cast<double>(values.size());
}

struct Distribution {
  const char* name;
  std::function<double(std::mt19937_64&)> draw;
};

std::vector<Distribution> distributions() {
  using Random = std::mt19937_64;
  return {{"uniform", [](Random& random) { return std::uniform_real_distribution<>(0, 1'000)(random); }},
          {"exponential", [](Random& random) { return std::exponential_distribution<>(0.001)(random); }},
          {"log-normal, heavy", [](Random& random) { return std::lognormal_distribution<>(7, 1.5)(random); }},
          {"normal", [](Random& random) { return std::normal_distribution<>(1'000, 50)(random); }}};
}

std::vector<double> drawn(const Distribution& distribution, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> values(count);
  std::generate(values.begin(), values.end(), [&] { return distribution.draw(random); });
  return values;
}

double exact_median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

TEST(RunningMedian, is_exact_up_to_five_values) {
  EXPECT_TRUE(rc::check("five", [](std::vector<int> numbers) {
    RC_PRE(!numbers.empty());
    numbers.resize(std::min<std::size_t>(numbers.size(), 5));
    RunningMedian median;
    for (const int number : numbers) median.add(number);
    const double exact = exact_median(std::vector<double>(numbers.begin(), numbers.end()));
    RC_ASSERT(median.value() == exact);
    RC_ASSERT(median.count() == numbers.size());
  }));
}

TEST(RunningMedian, is_near_the_exact_median_of_every_distribution) {
  for (const Distribution& distribution : distributions()) {
    for (const std::size_t count : {30U, 100U, 3'600U}) {
      double worst = 0;
      for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        const std::vector<double> values = drawn(distribution, count, seed);
        RunningMedian median;
        for (const double value : values) median.add(value);
        worst = std::max(worst, std::abs(rank_of(values, median.value()) - 0.5));
      }
      // P² works with five markers: after 30 values it is a quartile off at worst.
      EXPECT_LE(worst, count == 30 ? 0.30 : count == 100 ? 0.12 : 0.02) << distribution.name << ", " << count;
    }
  }
}

TEST(RunningMedian, is_right_for_values_in_order_and_for_one_value) {
  RunningMedian rising;
  RunningMedian falling;
  RunningMedian same;
  for (int i = 0; i <= 1'000; ++i) {
    rising.add(i);
    falling.add(1'000 - i);
    same.add(7);
  }
  EXPECT_NEAR(rising.value(), 500, 5);
  EXPECT_NEAR(falling.value(), 500, 5);
  EXPECT_EQ(same.value(), 7);
}

TEST(RunningMedian, stays_within_what_it_saw) {
  EXPECT_TRUE(rc::check("within", [](const std::vector<int>& numbers) {
    RC_PRE(!numbers.empty());
    RunningMedian median;
    for (const int number : numbers) median.add(number);
    const auto [least, most] = std::minmax_element(numbers.begin(), numbers.end());
    RC_ASSERT((median.value() >= *least && median.value() <= *most));
  }));
}

TEST(Baseline, is_the_prior_before_thirty_windows) {
  Baseline baseline;
  for (std::uint32_t i = 0; i < Baseline::kEnough; ++i) {
    EXPECT_FALSE(baseline.is_learnt());
    EXPECT_EQ(baseline.value(123), 123);
    baseline.learn(50);
  }
  EXPECT_TRUE(baseline.is_learnt());
  EXPECT_DOUBLE_EQ(baseline.value(123), 50);
  EXPECT_EQ(baseline.windows(), 30U);
}

TEST(Baseline, is_near_the_exact_median_of_every_distribution) {
  for (const Distribution& distribution : distributions()) {
    for (const std::size_t count : {30U, 100U, 3'600U}) {
      double worst = 1;
      for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        const std::vector<double> values = drawn(distribution, count, seed);
        Baseline baseline;
        for (const double value : values) baseline.learn(value);
        const double ratio = baseline.value(0) / exact_median(values);
        worst = std::max({worst, ratio, 1 / ratio});
      }
      EXPECT_LE(worst, count == 30 ? 2.0 : count == 100 ? 1.4 : 1.05) << distribution.name << ", " << count;
    }
  }
}

TEST(Baseline, does_not_follow_a_tenth_of_bad_windows) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const Distribution spikes{"spikes", [](std::mt19937_64& random) {
                                return std::bernoulli_distribution(0.1)(random)
                                           ? 1e6
                                           : std::uniform_real_distribution<>(1'000, 1'100)(random);
                              }};
    Baseline baseline;
    for (const double value : drawn(spikes, 100, seed)) baseline.learn(value);
    EXPECT_LT(baseline.value(0), 1'250) << seed;
  }
}

TEST(Baseline, is_at_least_a_microsecond) {
  Baseline baseline;
  for (int i = 0; i < 100; ++i) baseline.learn(0);
  EXPECT_EQ(baseline.value(0), 1);
}

}  // namespace
}  // namespace tidewaiter::control
