// SPDX-License-Identifier: Apache-2.0
#include "agent/journal_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/tests/snapshot_samples.h"

namespace tidewaiter::agent {
namespace {

using control::State;
using ::testing::HasSubstr;

const output::SeriesLimit kNoSeries(0);

output::SeriesLimit series_of(const Look& look) {
  output::SeriesLimit series;
  series.admit(look.census);
  return series;
}

TEST(JournalRows, host_comes_first_with_its_figures) {
  const auto look = look_at({{9'000, 750}});
  const auto rows = journal_rows(*snapshot_of(look, {decision_for(9'000, State::kYellow)}), kNoSeries);
  ASSERT_GE(rows.windows.size(), 1U);
  const store::WindowRow& host = rows.windows[0];
  EXPECT_EQ(host.subject, (store::Subject{"host", "self", "", "", 0}));
  EXPECT_EQ(host.window, 42U);
  EXPECT_EQ(host.at_ns, kStartUnixSeconds * 1'000'000'000);
  EXPECT_EQ(host.state, "YELLOW");
  EXPECT_EQ(host.enforced_state, "YELLOW") << "connections are enforced";
  EXPECT_EQ(host.severity, 1);
  EXPECT_FALSE(host.stale);
  EXPECT_EQ(host.p_stress, 0.45);
  EXPECT_EQ(host.ppr, 0.75);
  EXPECT_EQ(host.twr, 0.0);
  EXPECT_EQ(host.model, "prior/1");
  EXPECT_THAT(host.reasons, HasSubstr(R"("condition":"ppr_preferred","op":">=","value":0.75,"threshold":0.7)"));
  EXPECT_THAT(host.reasons, HasSubstr(R"("dst":"10.0.0.7","dport":9000)"));
  EXPECT_THAT(host.parameters, HasSubstr(R"("clip_scale":0.875)"));
  EXPECT_FALSE(host.live) << "a figure of tuples";
}

TEST(JournalRows, tuple_has_what_the_census_counts_and_nothing_made_up) {
  const auto look = look_at({{9'000, 750}});
  const auto rows = journal_rows(*snapshot_of(look, {decision_for(9'000, State::kYellow)}), kNoSeries);
  ASSERT_EQ(rows.windows.size(), 2U);
  const store::WindowRow& tuple = rows.windows[1];
  EXPECT_EQ(tuple.subject, (store::Subject{"tuple", "self", "127.0.0.1", "10.0.0.7", 9'000}));
  EXPECT_EQ(tuple.window, 42U);
  EXPECT_EQ(tuple.at_ns, rows.windows[0].at_ns);
  EXPECT_EQ(tuple.state, "YELLOW");
  EXPECT_EQ(tuple.p_stress, 0.45);
  EXPECT_EQ(tuple.ppr, 0.75);
  EXPECT_EQ(tuple.ppr_preferred, 0.75);
  EXPECT_EQ(tuple.twr, 0.0);
  EXPECT_EQ(tuple.live, 750.0);
  EXPECT_EQ(tuple.time_wait, 0.0);
  EXPECT_EQ(tuple.free, 250.0);
  for (const auto& unknown : {tuple.demand_per_s, tuple.time_to_cliff_s, tuple.time_to_exhaustion_s, tuple.cfr,
                              tuple.cfr_local, tuple.attempts, tuple.ctl95_us, tuple.rbi}) {
    EXPECT_FALSE(unknown);
  }
}

TEST(JournalRows, connects_are_written_where_they_are_known) {
  auto decision = decision_for(9'000, State::kYellow);
  decision.features.pooled_connects = telemetry::ConnectCounts{40, 1, 3};
  decision.features.connect_time = telemetry::Percentile{1'500, 40};
  decision.features.burst_index = 0.5;
  const auto rows = journal_rows(*snapshot_of(look_at({{9'000, 750}}), {decision}), kNoSeries);
  ASSERT_EQ(rows.windows.size(), 2U);
  EXPECT_EQ(rows.windows[1].attempts, 40.0);
  EXPECT_EQ(rows.windows[1].cfr, 0.1);
  EXPECT_EQ(rows.windows[1].cfr_local, 0.025);
  EXPECT_EQ(rows.windows[1].ctl95_us, 1'500.0);
  EXPECT_EQ(rows.windows[1].rbi, 0.5);
}

TEST(JournalRows, no_attempts_are_no_rate) {
  auto decision = decision_for(9'000, State::kYellow);
  decision.features.pooled_connects = telemetry::ConnectCounts{};
  const auto rows = journal_rows(*snapshot_of(look_at({{9'000, 750}}), {decision}), kNoSeries);
  ASSERT_EQ(rows.windows.size(), 2U);
  EXPECT_FALSE(rows.windows[1].attempts);
  EXPECT_FALSE(rows.windows[1].cfr);
}

TEST(JournalRows, calm_tuple_has_rows_only_with_a_series_of_its_own) {
  const auto look = look_at({{9'000, 20}, {9'001, 5}});
  const auto snapshot = snapshot_of(look, {decision_for(9'000, State::kGreen)});
  EXPECT_EQ(journal_rows(*snapshot, kNoSeries).windows.size(), 1U);
  const auto rows = journal_rows(*snapshot, series_of(*look));
  ASSERT_EQ(rows.windows.size(), 3U);
  EXPECT_EQ(rows.windows[1].subject.dport, 9'000);
  EXPECT_EQ(rows.windows[1].p_stress, 0.25);
  EXPECT_EQ(rows.windows[2].subject.dport, 9'001);
  EXPECT_EQ(rows.windows[2].state, "GREEN");
  EXPECT_FALSE(rows.windows[2].p_stress) << "nobody watches it";
}

TEST(JournalRows, series_of_a_tuple_stays_when_others_press_more) {
  const auto before = look_at({{9'000, 20}});
  output::SeriesLimit series(1);
  series.admit(before->census);
  const auto after = look_at({{9'000, 1}, {9'001, 30}}, 1);
  series.admit(after->census);
  const auto rows = journal_rows(*snapshot_of(after, {}, 1), series);
  ASSERT_EQ(rows.windows.size(), 2U);
  EXPECT_EQ(rows.windows[1].subject.dport, 9'000);
}

TEST(JournalRows, missed_window_has_no_figures) {
  const auto look = look_at({{9'000, 750}});
  auto snapshot = snapshot_of(look, {decision_for(9'000, State::kYellow)}, 3);
  snapshot->is_missed = true;
  snapshot->round.host.standing.is_stale = true;
  const auto rows = journal_rows(*snapshot, series_of(*look));
  ASSERT_EQ(rows.windows.size(), 1U);
  EXPECT_EQ(rows.windows[0].state, "STALE");
  EXPECT_TRUE(rows.windows[0].stale);
  EXPECT_EQ(rows.windows[0].severity, 4) << "a roll-up must not hide it";
  EXPECT_FALSE(rows.windows[0].ppr);
  EXPECT_FALSE(rows.windows[0].twr);
}

TEST(JournalRows, transitions_of_tuples_and_host_are_rows_of_their_own) {
  auto decision = decision_for(9'000, State::kOrange);
  control::Transition transition{{State::kGreen, false}, {State::kOrange, false}, control::Trigger::kWindow, {}};
  transition.reasons.add({"time_to_exhaustion", control::Comparison::kBelow, 12.5, 30});
  decision.decision.transition = transition;
  auto snapshot = snapshot_of(look_at({{9'000, 900}}), {decision});
  snapshot->round.host.transition = transition;
  const auto rows = journal_rows(*snapshot, kNoSeries);
  ASSERT_EQ(rows.transitions.size(), 2U);
  const store::TransitionRow& first = rows.transitions[0];
  EXPECT_EQ(first.subject, (store::Subject{"tuple", "self", "127.0.0.1", "10.0.0.7", 9'000}));
  EXPECT_EQ(first.at_ns, kStartUnixSeconds * 1'000'000'000);
  EXPECT_EQ(first.window, 42U);
  EXPECT_EQ(first.from, "GREEN");
  EXPECT_EQ(first.to, "ORANGE");
  EXPECT_EQ(first.trigger, "window");
  EXPECT_EQ(first.mode_connection, "enforce");
  EXPECT_EQ(first.mode_order, "shadow");
  EXPECT_TRUE(first.enforced);
  EXPECT_THAT(first.reasons, HasSubstr(R"("condition":"time_to_exhaustion","op":"<","value":12.5,"threshold":30.0)"));
  EXPECT_EQ(rows.transitions[1].subject.scope, "host");
}

TEST(JournalRows, nothing_is_enforced_in_shadow) {
  control::Policy policy;
  policy.modes = {control::Mode::kShadow, control::Mode::kShadow};
  auto decision = decision_for(9'000, State::kRed, policy);
  decision.decision.transition =
      control::Transition{{}, {State::kRed, false}, control::Trigger::kWindow, decision.decision.reasons};
  const auto rows = journal_rows(*snapshot_of(look_at({{9'000, 990}}), {decision}, 0, policy), kNoSeries);
  EXPECT_EQ(rows.windows[0].state, "RED");
  EXPECT_EQ(rows.windows[0].enforced_state, "GREEN");
  ASSERT_EQ(rows.transitions.size(), 1U);
  EXPECT_FALSE(rows.transitions[0].enforced);
}

}  // namespace
}  // namespace tidewaiter::agent
