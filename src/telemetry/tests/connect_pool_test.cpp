// SPDX-License-Identifier: Apache-2.0
#include "telemetry/connect_pool.h"

#include <gtest/gtest.h>

namespace tidewaiter::telemetry {
namespace {

base::Instant at(int seconds) { return base::Instant(base::Seconds(1000 + seconds)); }

TEST(ConnectPool, has_nothing_to_say_without_attempts) {
  ConnectPool pool;
  pool.add(at(0), {});
  EXPECT_FALSE(pool.pooled(at(0)));
}

TEST(ConnectPool, takes_no_more_windows_than_it_needs) {
  ConnectPool pool;
  pool.add(at(1), {100, 50, 0});
  pool.add(at(2), {25, 1, 2});
  EXPECT_EQ(pool.pooled(at(2)), (ConnectCounts{25, 1, 2}));
}

TEST(ConnectPool, goes_back_to_twenty_attempts) {
  ConnectPool pool;
  for (int second = 1; second <= 10; ++second) pool.add(at(second), {4, 1, 0});
  EXPECT_EQ(pool.pooled(at(10)), (ConnectCounts{20, 5, 0}));
}

TEST(ConnectPool, goes_back_thirty_seconds_at_most) {
  ConnectPool pool;
  for (int second = 0; second <= 60; second += 10) pool.add(at(second), {2, 1, 0});
  EXPECT_EQ(pool.pooled(at(60)), (ConnectCounts{8, 4, 0}));  // 30, 40, 50 and 60
  EXPECT_EQ(pool.pooled(at(75)), (ConnectCounts{4, 2, 0}));  // 50 and 60
  EXPECT_FALSE(pool.pooled(at(91)));
}

TEST(ConnectPool, keeps_no_window_that_is_too_old) {
  ConnectPool pool;
  for (int second = 0; second <= 1000; ++second) pool.add(at(second), {1, 0, 0});
  EXPECT_LE(pool.windows(), 31U);
}

TEST(ConnectPool, survives_a_window_that_ends_before_the_last) {
  ConnectPool pool;
  pool.add(at(10), {5, 0, 0});
  pool.add(at(5), {5, 1, 0});
  EXPECT_EQ(pool.pooled(at(10)), (ConnectCounts{10, 1, 0}));
}

}  // namespace
}  // namespace tidewaiter::telemetry
