// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <gtest/gtest.h>

#include "lab/attempt_log.h"
#include "lab/load_shape.h"

namespace tidewaiter::lab {
namespace {

using base::Instant;
using base::Microseconds;
using base::Seconds;

TEST(LoadShape, ramps_in_a_straight_line_and_stays) {
  const LoadShape load = ramp(10, 30, Seconds(10));
  EXPECT_DOUBLE_EQ(load(Seconds(0)), 10);
  EXPECT_DOUBLE_EQ(load(Seconds(5)), 20);
  EXPECT_DOUBLE_EQ(load(Seconds(50)), 30);
}

TEST(LoadShape, pulses_are_on_and_off) {
  const LoadShape load = pulses(8, Seconds(2), Seconds(3));
  EXPECT_EQ(load(Seconds(0)), 8);
  EXPECT_EQ(load(Seconds(2)), 0);
  EXPECT_EQ(load(Seconds(6)), 8);
}

TEST(LoadShape, the_second_begins_anew) {
  const LoadShape load = then(constant(5), Seconds(10), ramp(0, 10, Seconds(10)));
  EXPECT_EQ(load(Seconds(9)), 5);
  EXPECT_DOUBLE_EQ(load(Seconds(15)), 5);
  EXPECT_DOUBLE_EQ(load(Seconds(20)), 10);
}

void fill(AttemptLog& log) {
  for (int i = 0; i < 5; ++i) {
    log.add({Instant(Seconds(i)), Microseconds(10 + i), 0, static_cast<std::uint16_t>(40'000 + 2 * i)});
  }
  log.add({Instant(Seconds(5)), Microseconds(90), 0, 40'001});
  log.add({Instant(Seconds(6)), Microseconds(100), ECONNREFUSED, 0});
  log.add({Instant(Seconds(7)), Microseconds(100), EADDRNOTAVAIL, 0});
  log.add_refusal();
}

TEST(AttemptLog, counts_refusals_apart_from_failures) {
  AttemptLog log;
  fill(log);
  EXPECT_EQ(log.totals().offered, 9U);
  EXPECT_EQ(log.totals().refused_by_limit, 1U);
  EXPECT_EQ(log.totals().attempts, 8U);
  EXPECT_EQ(log.totals().failed, 2U);
}

TEST(AttemptLog, knows_the_first_failure_by_its_cause_and_the_cliff_by_its_parity) {
  AttemptLog log;
  fill(log);
  EXPECT_EQ(log.first_failure(EADDRNOTAVAIL), Instant(Seconds(7)));
  EXPECT_EQ(log.first_failure(ETIMEDOUT), std::nullopt);
  EXPECT_EQ(log.first_of_other_parity(40'000), Instant(Seconds(5)));
  EXPECT_EQ(log.failures_between(Instant(Seconds(0)), Instant(Seconds(7))), 1U);
}

TEST(AttemptLog, takes_the_median_of_what_connected) {
  AttemptLog log;
  fill(log);
  EXPECT_EQ(log.median_connect(Instant(Seconds(0)), Instant(Seconds(5))), Microseconds(12));
  EXPECT_EQ(log.median_connect(Instant(Seconds(5)), Instant(Seconds(9))), Microseconds(90));
  EXPECT_EQ(log.median_connect(Instant(Seconds(6)), Instant(Seconds(9))), std::nullopt);
}

}  // namespace
}  // namespace tidewaiter::lab
