// SPDX-License-Identifier: Apache-2.0
#include "telemetry/cadence.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace tidewaiter::telemetry {
namespace {

using base::Instant;
using base::Microseconds;
using base::Milliseconds;
using base::Nanoseconds;
using base::Seconds;

Instant at(Nanoseconds since_start) { return Instant(since_start); }

const Instant kAfterwards = at(Seconds(1000));

/// n children, one every `period`, each sent when `delay(i)` has passed; slices of one second.
template <class Delay>
std::vector<Launch> every(Nanoseconds period, int n, Delay delay) {
  std::vector<Launch> launches;
  for (int i = 0; i < n; ++i) {
    const Instant scheduled = at(i * period);
    launches.push_back({.scheduled = scheduled,
                        .sent = scheduled + delay(i),
                        .slice_end = std::chrono::floor<Seconds>(scheduled) + Seconds(1)});
  }
  return launches;
}

TEST(Cadence, has_nothing_to_say_without_launches) {
  const Cadence cadence = cadence_of({}, kAfterwards);
  EXPECT_EQ(cadence.sent, 0U);
  EXPECT_EQ(cadence.due, 0U);
  EXPECT_FALSE(cadence.gross_error);
  EXPECT_FALSE(cadence.net_error);
  EXPECT_FALSE(cadence.clumping_20ms);
  EXPECT_FALSE(cadence.clumping_100ms);
  EXPECT_FALSE(cadence.late_share);
}

TEST(Cadence, launch_error_counts_early_and_late_alike) {
  // Errors of 1 … 100 ms, every other one early.
  const auto launches = every(Seconds(1), 100, [](int i) { return Milliseconds(i % 2 == 0 ? i + 1 : -i - 1); });
  const Cadence cadence = cadence_of(launches, kAfterwards);
  EXPECT_EQ(cadence.sent, 100U);
  EXPECT_EQ(cadence.gross_error->p50, Milliseconds(50));
  EXPECT_EQ(cadence.gross_error->p95, Milliseconds(95));
  EXPECT_EQ(cadence.gross_error->p99, Milliseconds(99));
}

TEST(Cadence, net_error_takes_the_gate_off) {
  auto launches = every(Seconds(1), 10, [](int) { return Milliseconds(30); });
  for (Launch& launch : launches) {
    launch.gate_delay = Milliseconds(28);
  }
  const Cadence cadence = cadence_of(launches, kAfterwards);
  EXPECT_EQ(cadence.gross_error->p95, Milliseconds(30));
  EXPECT_EQ(cadence.net_error->p95, Milliseconds(2));
}

TEST(Cadence, children_that_were_never_sent_have_no_launch_error) {
  auto launches = every(Seconds(1), 2, [](int) { return Milliseconds(7); });
  launches[1].sent.reset();
  EXPECT_EQ(cadence_of(launches, kAfterwards).gross_error->p99, Milliseconds(7));
  launches[0].sent.reset();
  EXPECT_FALSE(cadence_of(launches, kAfterwards).gross_error);
}

TEST(Cadence, late_share_knows_sent_late_never_sent_and_not_yet_due) {
  const Instant now = at(Seconds(10));
  const std::vector<Launch> launches = {
      {.scheduled = at(Seconds(1)), .sent = at(Seconds(2)), .slice_end = at(Seconds(2))},                  // in time
      {.scheduled = at(Seconds(1)), .sent = at(Nanoseconds(2'000'000'001)), .slice_end = at(Seconds(2))},  // late
      {.scheduled = at(Seconds(1)), .sent = {}, .slice_end = at(Seconds(2))},                              // never
      {.scheduled = at(Seconds(9)), .sent = {}, .slice_end = at(Seconds(10))},                             // may yet be
      {.scheduled = at(Seconds(9)), .sent = at(Seconds(9)), .slice_end = at(Seconds(20))},                 // in time
  };
  const Cadence cadence = cadence_of(launches, now);
  EXPECT_EQ(cadence.due, 4U);
  EXPECT_EQ(cadence.late, 2U);
  EXPECT_EQ(cadence.late_share, 0.5);
}

TEST(Cadence, clumping_is_0_when_every_child_is_equally_late) {
  const auto launches = every(Milliseconds(5), 4000, [](int) { return Milliseconds(400); });
  const Cadence cadence = cadence_of(launches, kAfterwards);
  EXPECT_EQ(cadence.clumping_20ms, 0.0);
  EXPECT_EQ(cadence.clumping_100ms, 0.0);
}

TEST(Cadence, clumping_rises_when_sends_are_held_and_released_together) {
  // Held until the next full second.
  const auto launches =
      every(Milliseconds(5), 4000, [](int i) { return Seconds(1) - Milliseconds(5) * i % Seconds(1); });
  const Cadence cadence = cadence_of(launches, kAfterwards);
  // Close to 1, because the window is the whole 20 s; over 5 s the most would be 0.995 at 100 ms.
  EXPECT_NEAR(*cadence.clumping_20ms, 1.0, 0.003);
  EXPECT_NEAR(*cadence.clumping_100ms, 1.0, 0.003);
}

TEST(Cadence, clumping_does_not_blame_the_sender_for_a_bunched_schedule) {
  // 20 children on every quarter second, sent with a jitter of ± 50 us: both have half of the pairs at 250 ms.
  std::mt19937_64 dice(7);
  std::vector<Launch> launches;
  for (int i = 0; i < 4000; ++i) {
    const Instant scheduled = at(i / 20 * Milliseconds(250));
    const auto jitter = Nanoseconds(static_cast<std::int64_t>(dice() % 100'000) - 50'000);
    launches.push_back({.scheduled = scheduled, .sent = scheduled + jitter, .slice_end = scheduled + Seconds(1)});
  }
  const Cadence cadence = cadence_of(launches, kAfterwards);
  EXPECT_NEAR(*cadence.clumping_20ms, 0.0, 0.01);
  EXPECT_NEAR(*cadence.clumping_100ms, 0.0, 0.02);
}

TEST(Cadence, clumping_is_absent_with_few_pairs) {
  const auto launches = every(Milliseconds(40), 100, [](int) { return Milliseconds(1); });
  const Cadence cadence = cadence_of(launches, kAfterwards);
  EXPECT_FALSE(cadence.clumping_20ms);  // one neighbour each within 50 ms
  EXPECT_TRUE(cadence.clumping_100ms);  // six within 250 ms
}

TEST(Cadence, does_not_depend_on_the_order_of_launches) {
  auto launches = every(Milliseconds(7), 2000, [](int i) { return Milliseconds(i * i % 97); });
  const Cadence sorted = cadence_of(launches, kAfterwards);
  std::shuffle(launches.begin(), launches.end(), std::mt19937_64(3));
  const Cadence shuffled = cadence_of(launches, kAfterwards);
  EXPECT_EQ(sorted.gross_error->p95, shuffled.gross_error->p95);
  EXPECT_EQ(sorted.clumping_20ms, shuffled.clumping_20ms);
  EXPECT_EQ(sorted.clumping_100ms, shuffled.clumping_100ms);
}

}  // namespace
}  // namespace tidewaiter::telemetry
