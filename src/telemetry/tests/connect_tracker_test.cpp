// SPDX-License-Identifier: Apache-2.0
#include "telemetry/connect_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidewaiter::telemetry {
namespace {

using ::testing::DoubleNear;
using ::testing::Optional;

const Tuple kVenue{Address::v4(0x0a000001), Address::v4(0x0a000002), 9000};
const Tuple kOther{Address::v4(0x0a000001), Address::v4(0x0a000003), 9000};

base::Instant second(double s) { return base::Instant(base::Nanoseconds(static_cast<std::int64_t>(s * 1e9))); }

/// A source whose totals grow, and its readings once a second.
class Source {
 public:
  ConnectTotals& totals(const Tuple& tuple = kVenue) { return tuples_[tuple]; }

  void established(std::uint64_t count, base::Nanoseconds took, const Tuple& tuple = kVenue) {
    ConnectTotals& totals = tuples_[tuple];
    totals.attempts += count;
    totals.established += count;
    totals.connect_time += static_cast<std::int64_t>(count) * took;
    LatencyCounts one;
    for (std::uint64_t i = 0; i < count; ++i) one.add(took);
    totals.connect += one;
  }

  void failed(std::uint64_t count, ConnectCause cause, base::Nanoseconds waited, const Tuple& tuple = kVenue) {
    ConnectTotals& totals = tuples_[tuple];
    totals.attempts += count;
    totals.ended[static_cast<std::size_t>(cause)] += count;
    LatencyCounts one;
    for (std::uint64_t i = 0; i < count; ++i) one.add(waited);
    totals.given_up += one;
  }

  void retry(double at, const Tuple& tuple = kVenue) {
    ++tuples_[tuple].retries;
    ConnectEvent event;
    event.at = second(at);
    event.tuple = tuple;
    event.kind = ConnectEvent::Kind::kRetry;
    event.pid = 7;
    tracker.on_event(event);
  }

  const TupleConnects& window(const Tuple& tuple = kVenue, double lasts = 1) {
    ConnectReading reading;
    reading.at = second(now_ += lasts);
    for (const auto& [key, totals] : tuples_) reading.tuples.push_back({key, totals});
    tracker.observe(reading);
    return *tracker.connects().find(tuple);
  }

  Features features(const Tuple& tuple = kVenue) {
    Features features;
    tracker.add_to(tuple, features);
    return features;
  }

  ConnectTracker tracker;

 private:
  std::map<Tuple, ConnectTotals> tuples_;
  double now_ = 0;
};

TEST(ConnectTracker, connects_before_the_first_reading_are_in_no_window) {
  Source source;
  source.established(50, base::Microseconds(100));
  EXPECT_EQ(source.window().totals.attempts, 50U);
  EXPECT_FALSE(source.features().connects) << "not known yet";
  source.established(3, base::Microseconds(100));
  EXPECT_EQ(source.window().window, (ConnectCounts{3, 0, 0}));
  EXPECT_EQ(source.features().connects, (ConnectCounts{3, 0, 0}));
}

TEST(ConnectTracker, a_tuple_without_connects_has_counts_of_nothing_and_no_rate) {
  Source source;
  source.established(1, base::Microseconds(100));
  source.window();
  source.window();
  const Features features = source.features(kOther);
  EXPECT_EQ(features.connects, ConnectCounts{});
  EXPECT_FALSE(features.pooled_connects);
  EXPECT_FALSE(features.connect_time);
  EXPECT_FALSE(features.burst_index);
}

TEST(ConnectTracker, tells_local_failures_from_those_of_peers_and_from_neither) {
  Source source;
  source.established(1, base::Microseconds(100));
  source.window();
  source.established(10, base::Microseconds(100));
  source.failed(2, ConnectCause::kAddrNotAvailable, base::Milliseconds(2));
  source.failed(3, ConnectCause::kRefused, base::Microseconds(50));
  source.failed(1, ConnectCause::kDenied, base::Nanoseconds(0));
  source.failed(4, ConnectCause::kAborted, base::Milliseconds(5));
  source.totals().attempts += 1;
  source.totals().pre_syn_unattributed += 1;
  const TupleConnects& connects = source.window();
  EXPECT_EQ(connects.window, (ConnectCounts{21, 2, 4, 1}));
  EXPECT_EQ(connects.window_portless, 2U);
}

TEST(ConnectTracker, counts_of_a_window_are_of_that_window_alone) {
  Source source;
  source.established(7, base::Microseconds(100));
  source.window();
  EXPECT_FALSE(source.tracker.connects().window) << "not known yet";
  source.established(5, base::Microseconds(100));
  source.failed(2, ConnectCause::kTimeout, base::Seconds(3));
  source.totals().syn_retransmits += 4;
  source.established(3, base::Microseconds(100), kOther);
  const TupleConnects& connects = source.window();
  EXPECT_EQ(connects.attempts_per_s, 7.0);
  EXPECT_EQ(connects.window_established, 5U);
  EXPECT_EQ(connects.window_timeouts, 2U);
  EXPECT_EQ(connects.window_syn_retransmits, 4U);
  ASSERT_TRUE(source.tracker.connects().window);
  EXPECT_EQ(source.tracker.connects().window->attempts, 10U) << "of all tuples";
  EXPECT_EQ(source.tracker.connects().at, second(2));
  for (int i = 0; i < 40; ++i) source.window();  // until nothing is pooled any more
  EXPECT_EQ(connects.attempts_per_s, 0.0);
  EXPECT_EQ(connects.window_established, 0U);
  EXPECT_EQ(connects.window_timeouts, 0U);
  EXPECT_EQ(connects.window_syn_retransmits, 0U);
  EXPECT_EQ(source.tracker.connects().window, ConnectTotals{});
}

TEST(ConnectTracker, failures_enter_the_quantile_at_the_time_they_had_waited) {
  Source source;
  source.established(1, base::Microseconds(100));
  source.window();
  source.established(50, base::Microseconds(100));
  source.failed(50, ConnectCause::kTimeout, base::Seconds(3));
  const TupleConnects& connects = source.window();
  ASSERT_TRUE(connects.connect_p95);
  EXPECT_TRUE(connects.connect_p95->at_least) << "half of them never got there";
  EXPECT_GT(connects.connect_p95->value, base::Seconds(2));
  EXPECT_EQ(connects.connect_count, 100U);
}

TEST(ConnectTracker, pools_windows_back_to_twenty_attempts) {
  Source source;
  source.established(1, base::Microseconds(100));
  source.window();
  for (int i = 0; i < 5; ++i) {
    source.established(6, base::Milliseconds(i == 0 ? 100 : 1));
    source.window();
  }
  // The newest four windows have 24; the slow one is older.
  EXPECT_EQ(source.features().pooled_connects, (ConnectCounts{24, 0, 0}));
  EXPECT_LT(source.features().connect_time->p95_us, 2'000);
  EXPECT_EQ(source.features().connect_time->count, 24U);
}

TEST(ConnectTracker, forgets_what_is_older_than_thirty_seconds) {
  Source source;
  source.established(1, base::Microseconds(100));
  source.window();
  source.established(5, base::Microseconds(100));
  source.window();
  for (int i = 0; i < 32; ++i) source.window();
  EXPECT_FALSE(source.features().pooled_connects);
  EXPECT_FALSE(source.features().connect_time);
  EXPECT_TRUE(source.tracker.busy().empty());
  EXPECT_EQ(source.tracker.connects().find(kVenue)->totals.attempts, 6U);
}

TEST(ConnectTracker, retries_in_step_are_a_burst_and_scattered_ones_are_none) {
  Source source;
  source.established(1, base::Microseconds(100));
  source.window();
  for (int s = 1; s < 8; ++s) {
    for (int i = 0; i < 200; ++i) {
      source.retry(s + 0.3 + 0.0002 * i, kVenue);
      source.retry(s + 0.005 * i, kOther);
    }
    source.failed(200, ConnectCause::kRefused, base::Microseconds(50));
    source.failed(200, ConnectCause::kRefused, base::Microseconds(50), kOther);
    source.window();
  }
  EXPECT_GT(source.features(kVenue).burst_index.value_or(0), 0.9);
  EXPECT_LT(source.features(kOther).burst_index.value_or(1), 0.1);
  EXPECT_THAT(source.tracker.connects().find(kVenue)->retries_per_s, DoubleNear(200, 1));
  for (int i = 0; i < 6; ++i) source.window();
  EXPECT_FALSE(source.features(kVenue).burst_index) << "no retry in the last five seconds";
  EXPECT_EQ(source.tracker.connects().find(kVenue)->retries_per_s, 0);
}

TEST(ConnectTracker, retries_are_no_burst_before_they_have_gone_on_for_two_seconds) {
  Source source;
  source.established(1, base::Microseconds(100));
  source.window();
  for (int s = 1; s < 8; ++s) {
    // They begin late in a window: what is seen of them is all within a part of a second.
    for (int i = s == 1 ? 120 : 0; i < 200; ++i) source.retry(s + 0.005 * i);
    source.failed(200, ConnectCause::kRefused, base::Microseconds(50));
    const TupleConnects& connects = source.window();
    if (s <= 2) {
      EXPECT_FALSE(connects.burst_index) << s;
      EXPECT_TRUE(connects.bursts.at(static_cast<std::size_t>(BurstWidth::k250ms))) << "as it is, for who wants to see";
    } else {
      EXPECT_LT(connects.burst_index.value_or(1), 0.15) << s;
    }
  }
}

TEST(ConnectTracker, retries_per_second_do_not_depend_on_when_exactly_windows_end) {
  for (const double lasts : {0.1, 0.9999, 1.0001, 2.0, 7.0}) {
    Source source;
    source.established(1, base::Microseconds(100));
    source.window();
    double at = 1;
    for (int window = 0; window < 60; ++window, at += lasts) {
      const int retries = static_cast<int>(200 * lasts);
      for (int i = 0; i < retries; ++i) source.retry(at + lasts * i / retries);
      source.failed(static_cast<std::uint64_t>(retries), ConnectCause::kRefused, base::Microseconds(50));
      source.window(kVenue, lasts);
    }
    EXPECT_THAT(source.tracker.connects().find(kVenue)->retries_per_s, DoubleNear(200, 2)) << lasts;
  }
}

TEST(ConnectTracker, counts_connects_after_a_session_as_reconnects) {
  Source source;
  source.failed(1, ConnectCause::kRefused, base::Microseconds(50));
  source.window();
  source.failed(4, ConnectCause::kRefused, base::Microseconds(50));
  EXPECT_EQ(source.window().reconnects_per_s, 0) << "there was no session";
  source.established(1, base::Microseconds(100));
  EXPECT_EQ(source.window().reconnects_per_s, 0) << "it is the first";
  source.established(3, base::Microseconds(100));
  EXPECT_EQ(source.window().reconnects_per_s, 3);
  EXPECT_EQ(source.features().reconnects_per_s, 3.0);
  for (int i = 0; i < 62; ++i) source.window();
  source.established(2, base::Microseconds(100));
  EXPECT_EQ(source.window().reconnects_per_s, 0) << "the session was more than a minute ago";
}

TEST(ConnectTracker, a_live_connection_is_a_session) {
  Source source;
  source.failed(1, ConnectCause::kRefused, base::Microseconds(50));
  source.window();
  Sample sample;
  sample.at.steady = second(1);
  TupleSample tuple{kVenue, {}, {}};
  tuple.counts.live = 1;
  sample.tuples.push_back(tuple);
  source.tracker.note_sessions(sample);
  source.failed(2, ConnectCause::kRefused, base::Microseconds(50));
  EXPECT_EQ(source.window().reconnects_per_s, 2);
}

TEST(ConnectTracker, names_the_processes_with_trouble_worst_first) {
  Source source;
  source.failed(1, ConnectCause::kRefused, base::Microseconds(50));
  source.window();
  ConnectEvent event;
  event.tuple = kVenue;
  event.at = second(1.5);
  event.command = "gateway";
  for (const std::uint32_t pid : {11U, 12U, 12U}) {
    event.pid = pid;
    source.tracker.on_event(event);
  }
  source.failed(3, ConnectCause::kRefused, base::Microseconds(50));
  const auto& processes = source.window().processes;
  ASSERT_EQ(processes.size(), 2U);
  EXPECT_EQ(processes[0].pid, 12U);
  EXPECT_EQ(processes[0].failures, 2U);
  EXPECT_EQ(processes[0].command, "gateway");
  for (int i = 0; i < 62; ++i) source.window();
  EXPECT_TRUE(source.tracker.connects().find(kVenue)->processes.empty());
}

TEST(ConnectTracker, sums_over_all_tuples_those_without_room_included) {
  Source source;
  source.established(5, base::Microseconds(100));
  source.established(7, base::Microseconds(100), kOther);
  source.window();
  EXPECT_EQ(source.tracker.connects().totals.attempts, 12U);
  ConnectReading reading;
  reading.at = second(9);
  reading.other.emplace();
  reading.other->attempts = 4;
  source.tracker.observe(reading);
  EXPECT_EQ(source.tracker.connects().totals.attempts, 4U);
}

}  // namespace
}  // namespace tidewaiter::telemetry
