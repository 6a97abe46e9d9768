// SPDX-License-Identifier: Apache-2.0
#include "telemetry/send_delays.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

namespace tidewaiter::telemetry {
namespace {

using base::Instant;
using base::Microseconds;
using base::Milliseconds;
using base::Seconds;
using Ending = SendDelays::Ending;

constexpr Instant kStart{Seconds(1'000)};

Tuple tuple_of(std::uint16_t port, Address source = Address::v4(0x7f000001)) {
  return {source, Address::v4(0x0a000001), port};
}

void add(SendDelays& delays, int count, base::Nanoseconds delay, Instant at = kStart, Ending ending = Ending::kSent) {
  for (int i = 0; i < count; ++i) delays.add(tuple_of(1), at, delay, ending);
}

/// Histograms are exact to 0.8 %.
auto is_about(double us) { return testing::DoubleNear(us, us * 0.01); }

TEST(SendDelays, has_no_value_where_nothing_was_sent) {
  SendDelays delays(64);
  delays.close(kStart);
  EXPECT_FALSE(delays.of(tuple_of(1)));
  add(delays, 1, Milliseconds(1));
  EXPECT_FALSE(delays.of(tuple_of(1))) << "the window is not over";
  delays.close(kStart);
  ASSERT_TRUE(delays.of(tuple_of(1)));
  EXPECT_FALSE(delays.of(tuple_of(2)));
}

TEST(SendDelays, judges_a_window_of_enough_sends_by_itself) {
  SendDelays delays(64);
  add(delays, 100, Milliseconds(50));
  delays.close(kStart);
  EXPECT_THAT(delays.of(tuple_of(1))->p95_us, is_about(50'000));
  add(delays, 20, Milliseconds(1));
  delays.close(kStart + Seconds(1));
  EXPECT_THAT(delays.of(tuple_of(1))->p95_us, is_about(1'000)) << "not those before";
  EXPECT_EQ(delays.of(tuple_of(1))->count, 20U);
}

TEST(SendDelays, judges_a_window_of_few_sends_with_those_before) {
  SendDelays delays(64);
  add(delays, 30, Milliseconds(1));
  delays.close(kStart);
  add(delays, 5, Milliseconds(9), kStart + Seconds(1));
  delays.close(kStart + Seconds(1));
  EXPECT_EQ(delays.of(tuple_of(1))->count, 20U) << "the last twenty";
  EXPECT_THAT(delays.of(tuple_of(1))->p95_us, is_about(9'000));
  delays.close(kStart + Seconds(2));
  EXPECT_EQ(delays.of(tuple_of(1))->count, 20U) << "also in a window without any";
  delays.close(kStart + Seconds(31));
  EXPECT_EQ(delays.of(tuple_of(1))->count, 5U) << "those of the last 30 s";
}

TEST(SendDelays, forgets_a_tuple_that_sends_nothing_more) {
  SendDelays delays(1);
  add(delays, 1, Milliseconds(1));
  delays.close(kStart + Seconds(30));
  EXPECT_TRUE(delays.of(tuple_of(1)));
  delays.add(tuple_of(2), kStart, Milliseconds(1), Ending::kSent);
  EXPECT_EQ(delays.omitted(), 1U) << "no room yet";
  delays.close(kStart + Seconds(31));
  EXPECT_FALSE(delays.of(tuple_of(1)));
  EXPECT_EQ(delays.tuples(), 0U);
  delays.add(tuple_of(2), kStart + Seconds(31), Milliseconds(1), Ending::kSent);
  EXPECT_EQ(delays.omitted(), 1U);
}

TEST(SendDelays, given_up_sends_would_have_taken_at_least_that_long) {
  SendDelays delays(64);
  add(delays, 90, Milliseconds(1));
  add(delays, 10, Milliseconds(5), kStart, Ending::kGivenUp);
  delays.close(kStart);
  EXPECT_EQ(delays.of(tuple_of(1))->count, 100U);
  EXPECT_THAT(delays.of(tuple_of(1))->p95_us, is_about(5'000)) << "and not 1 ms, as without them";
}

TEST(SendDelays, given_up_sends_count_among_few_as_well) {
  SendDelays delays(64);
  add(delays, 5, Milliseconds(1));
  add(delays, 5, Milliseconds(5), kStart, Ending::kGivenUp);
  delays.close(kStart);
  EXPECT_THAT(delays.of(tuple_of(1))->p95_us, is_about(5'000));
}

TEST(SendDelays, counts_a_negative_delay_and_nothing_else) {
  SendDelays delays(64);
  add(delays, 1, -Microseconds(1));
  delays.close(kStart);
  EXPECT_EQ(delays.negative(), 1U);
  EXPECT_FALSE(delays.of(tuple_of(1)));
}

TEST(SendDelays, what_was_told_without_a_source_holds_for_all_of_them) {
  SendDelays delays(64);
  delays.add(tuple_of(1, {}), kStart, Milliseconds(3), Ending::kSent);
  delays.add(tuple_of(1), kStart, Milliseconds(7), Ending::kSent);
  delays.close(kStart);
  EXPECT_THAT(delays.of(tuple_of(1))->p95_us, is_about(7'000));
  EXPECT_THAT(delays.of(tuple_of(1, Address::v4(0x7f000002)))->p95_us, is_about(3'000));
}

TEST(SendDelays, shows_the_delays_of_each_window_once) {
  SendDelays delays(64);
  std::map<Tuple, std::uint64_t> seen;
  const auto see = [&](const Tuple& tuple, const Histogram& window) {
    seen[tuple] += window.observed() + window.censored();
  };
  add(delays, 3, Milliseconds(1));
  delays.add(tuple_of(2), kStart, Milliseconds(1), Ending::kGivenUp);
  delays.close(kStart, see);
  delays.close(kStart + Seconds(1), see);
  add(delays, 4, Milliseconds(1), kStart + Seconds(2));
  delays.close(kStart + Seconds(2), see);
  EXPECT_EQ(seen, (std::map<Tuple, std::uint64_t>{{tuple_of(1), 7}, {tuple_of(2), 1}}));
}

}  // namespace
}  // namespace tidewaiter::telemetry
