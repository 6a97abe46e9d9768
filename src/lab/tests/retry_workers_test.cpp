// SPDX-License-Identifier: Apache-2.0
#include "lab/retry_workers.h"

#include <cerrno>
#include <gtest/gtest.h>

#include "lab/clock.h"
#include "lab/interruption.h"
#include "lab/topology.h"

namespace tidewaiter::lab {
namespace {

using base::Instant;
using base::Milliseconds;
using base::Seconds;

TEST(RetrySchedule, in_step_every_worker_tries_once_in_each_burst) {
  constexpr std::uint32_t kWorkers = 50;
  RetrySchedule schedule({}, kWorkers, 7, Instant(Seconds(100)));
  for (int burst = 0; burst < 20; ++burst) {
    const Instant begin = Instant(Seconds(100 + burst));
    for (std::uint32_t i = 0; i < kWorkers; ++i) {
      const Instant at = schedule.next();
      EXPECT_GE(at, begin);
      EXPECT_LE(at, begin + Milliseconds(40));
    }
  }
}

TEST(RetrySchedule, by_full_jitter_all_begin_together_and_then_come_once_a_period_on_average) {
  constexpr std::uint32_t kWorkers = 200;
  RetrySchedule schedule({RetryPattern::kFullJitter, Seconds(2), {}, {}}, kWorkers, 7, Instant(Seconds(100)));
  Instant last = Instant(Seconds(100));
  for (std::uint32_t i = 0; i < kWorkers; ++i) EXPECT_EQ(schedule.next(), last);
  int tries = 0;
  for (Instant at = schedule.next(); at < Instant(Seconds(120)); at = schedule.next()) {
    EXPECT_GE(at, last);
    last = at;
    ++tries;
  }
  EXPECT_NEAR(tries, 4'000, 200) << "half the period is the mean wait";
}

TEST(RetrySchedule, is_the_same_for_the_same_seed) {
  RetrySchedule first({}, 10, 7, Instant(Seconds(1)));
  RetrySchedule second({}, 10, 7, Instant(Seconds(1)));
  RetrySchedule other({}, 10, 8, Instant(Seconds(1)));
  bool is_other = false;
  for (int i = 0; i < 100; ++i) {
    const Instant at = first.next();
    EXPECT_EQ(at, second.next());
    is_other = is_other || at != other.next();
  }
  EXPECT_TRUE(is_other);
}

TEST(RetryWorkers, are_refused_and_try_again) {
  const auto topology = Topology::create();
  if (!topology) GTEST_SKIP() << topology.error().message();
  RetryOptions options;
  options.timing.period = Milliseconds(20);
  options.timing.width = Milliseconds(1);
  const auto workers = RetryWorkers::start(topology->client(), options);
  ASSERT_TRUE(workers) << workers.error().message();
  const Interruption never;
  const Instant deadline = read_clock() + Seconds(20);
  while (workers->seen()[ECONNREFUSED] < 1'000 && read_clock() < deadline) {
    static_cast<void>(never.wait_until(read_clock() + Milliseconds(5)));
  }
  EXPECT_GE(workers->seen()[ECONNREFUSED], 1'000U);
  EXPECT_EQ(workers->seen().size(), 1U) << to_string(workers->seen());
}

}  // namespace
}  // namespace tidewaiter::lab
