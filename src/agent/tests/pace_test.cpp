// SPDX-License-Identifier: Apache-2.0
#include "agent/pace.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tidewaiter::agent {
namespace {

using base::Milliseconds;
using base::Nanoseconds;
using base::Seconds;

base::Instant at(Nanoseconds since_boot) { return base::Instant(since_boot); }

TEST(Pace, keeps_the_configured_interval_while_passes_are_cheap) {
  Pace pace(Seconds(1), {});
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(pace.note(Milliseconds(50)));
  EXPECT_EQ(pace.interval(), Seconds(1));
  EXPECT_FALSE(pace.is_stretched());
}

TEST(Pace, stretches_at_once_when_a_pass_takes_more_than_its_share) {
  Pace pace(Seconds(1), {});
  EXPECT_TRUE(pace.note(Milliseconds(51)));
  EXPECT_EQ(pace.interval(), Milliseconds(1'100));
  EXPECT_TRUE(pace.is_stretched());
  EXPECT_TRUE(pace.note(Milliseconds(250)));
  EXPECT_EQ(pace.interval(), Seconds(5));
}

TEST(Pace, goes_by_the_share_that_is_configured) {
  Pace pace(Seconds(1), {.max_share = 0.5});
  EXPECT_FALSE(pace.note(Milliseconds(500)));
  EXPECT_TRUE(pace.note(Milliseconds(600)));
  EXPECT_EQ(pace.interval(), Milliseconds(1'200));
}

TEST(Pace, one_cheap_pass_does_not_bring_it_back) {
  Pace pace(Seconds(1), {});
  ASSERT_TRUE(pace.note(Milliseconds(100)));
  EXPECT_FALSE(pace.note(Milliseconds(10)));
  EXPECT_EQ(pace.interval(), Seconds(2));
}

TEST(Pace, comes_back_when_passes_have_become_clearly_cheaper) {
  Pace pace(Seconds(1), {});
  ASSERT_TRUE(pace.note(Milliseconds(100)));
  for (int i = 0; i < 40; ++i) static_cast<void>(pace.note(Milliseconds(80)));
  EXPECT_EQ(pace.interval(), Seconds(2)) << "a fifth less is not clearly less";
  for (int i = 0; i < 40; ++i) static_cast<void>(pace.note(Milliseconds(10)));
  EXPECT_EQ(pace.interval(), Seconds(1));
  EXPECT_FALSE(pace.is_stretched());
}

TEST(Pace, never_waits_longer_than_a_minute) {
  Pace pace(Seconds(1), {});
  EXPECT_TRUE(pace.note(Seconds(10)));
  EXPECT_EQ(pace.interval(), Pace::kLongest);
  EXPECT_FALSE(pace.note(Seconds(20)));
}

TEST(Pace, next_window_is_one_interval_later_on_the_same_beat) {
  const Pace pace(Seconds(1), {});
  EXPECT_EQ(pace.next(at(Seconds(10)), at(Seconds(10) + Milliseconds(30))), at(Seconds(11)));
}

TEST(Pace, window_that_is_too_late_is_skipped_and_counted) {
  const Pace pace(Seconds(1), {});
  const auto due = at(Seconds(10));
  EXPECT_EQ(pace.skipped(due, at(Milliseconds(10'499))), 0U);
  EXPECT_EQ(pace.next(due, at(Milliseconds(10'501))), at(Seconds(12))) << "not before half an interval from now";
  EXPECT_EQ(pace.skipped(due, at(Milliseconds(10'501))), 1U);
  EXPECT_EQ(pace.next(due, at(Milliseconds(15'200))), at(Seconds(16)));
  EXPECT_EQ(pace.skipped(due, at(Milliseconds(15'200))), 5U);
}

TEST(Pace, keeps_its_promises_whatever_passes_take) {
  EXPECT_TRUE(rc::check("never below configured, never above a minute, enough for the last pass", [] {
    const auto configured = Milliseconds(*rc::gen::inRange(100, 60'001));
    Pace pace(configured, {});
    for (const int cost_us : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 10'000'000))) {
      const Nanoseconds before = pace.interval();
      const Nanoseconds pass = base::Microseconds(cost_us);
      const bool has_changed = pace.note(pass);
      RC_ASSERT(has_changed == (pace.interval() != before));
      RC_ASSERT(pace.interval() >= configured);
      RC_ASSERT(pace.interval() <= Pace::kLongest);
      RC_ASSERT((pass <= pace.interval() / 20 || pace.interval() == Pace::kLongest));
    }
  }));
}

TEST(Pace, keeps_its_beat_however_late_it_is) {
  EXPECT_TRUE(rc::check("on the beat, at least half and at most one and a half intervals away", [] {
    const Nanoseconds interval = Milliseconds(*rc::gen::inRange(100, 60'001));
    const Pace pace(interval, {});
    const auto due = at(base::Microseconds(*rc::gen::inRange<std::int64_t>(0, 1'000'000'000)));
    const auto now = due + base::Microseconds(*rc::gen::inRange<std::int64_t>(0, 600'000'000));
    const base::Instant next = pace.next(due, now);
    RC_ASSERT((next - due) % interval == Nanoseconds(0));
    RC_ASSERT(next - now >= interval / 2);
    RC_ASSERT((next == due + interval || next - now < interval + interval / 2));
    RC_ASSERT(due + interval * static_cast<std::int64_t>(pace.skipped(due, now) + 1) == next);
  }));
}

}  // namespace
}  // namespace tidewaiter::agent
