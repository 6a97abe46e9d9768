// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <set>
#include <string>

#include "control/policy.h"
#include "control/step.h"
#include "control/tests/feed.h"

namespace tidewaiter::control {
namespace {

using Row = std::pair<Effect, std::string>;

/// P(port stress) as a function of the retry queue alone, so that it can be set without touching another row.
const model::StressModel& queue_model() {
  static const model::StressModel kModel = [] {
    model::StressModel only = model::prior_stress_model();
    only.intercept = -10;
    for (model::StressTerm& term : only.terms) {
      term.coefficient = term.input == model::StressInput::kRetryQueue ? 1.0 : 0.0;
      term.reference = 0;
    }
    return only;
  }();
  return kModel;
}

/// 1 + depth = odds · e¹⁰.
WindowInput with_stress(double p) {
  WindowInput window = calm_window();
  window.features.retry_queue_depth = p / (1 - p) * std::exp(10) - 1;
  return window;
}

template <class Set>
std::function<WindowInput(double)> calm_but(Set set) {
  return [set](double value) {
    WindowInput window = calm_window();
    set(window, value);
    return window;
  };
}

/// A row whose signal is one number of one window: its values just on either side of both thresholds.
struct Case {
  Row row;
  double quiet;  ///< does not fire
  double fires;
  double holds;  ///< does not clear
  double clears;
  std::function<WindowInput(double)> window;
  bool is_alone = true;  ///< in the whole table, no other row fires with it
};

std::vector<Case> cases() {
  constexpr auto kYellow = Effect::kYellow;
  constexpr auto kOrange = Effect::kOrange;
  constexpr auto kRed = Effect::kRed;
  const auto failed_local = [](WindowInput& window, double value) {
    window.features.connects = {1'000, static_cast<std::uint32_t>(value), 0};
  };
  const auto failures_of_a_thousand = [](WindowInput& window, double value) {
    window.features.pooled_connects = {1'000, 0, static_cast<std::uint32_t>(std::lround(1'000 * value))};
  };
  return {
      {{kYellow, "p_stress"}, 0.2999, 0.3001, 0.2001, 0.1999, with_stress},
      {{kYellow, "ppr_preferred"}, 0.699, 0.70, 0.65, 0.649, calm_but([](WindowInput& window, double value) {
         window.features.ppr_preferred = value;
       })},
      {{kYellow, "time_to_cliff"}, 60, 59.9, 69.9, 70, calm_but([](WindowInput& window, double value) {
         window.time_to_cliff_s = value;
       })},
      {{kYellow, "ctl95"}, 2.99, 3, 2, 1.99, calm_but([](WindowInput& window, double value) {
         window.features.connect_time->p95_us = 1'000 * value;
       })},
      {{kOrange, "p_stress"}, 0.5999, 0.6001, 0.4501, 0.4499, with_stress, false},
      {{kOrange, "cfr"}, 0.019, 0.020, 0.010, 0.009, calm_but(failures_of_a_thousand), false},
      {{kOrange, "rbi"},
       0.399,
       0.40,
       0.30,
       0.299,
       calm_but([](WindowInput& window, double value) { window.features.burst_index = value; }),
       false},
      {{kOrange, "dsd95"},
       2.99,
       3,
       2,
       1.99,
       calm_but([](WindowInput& window, double value) { window.features.send_delay->p95_us = 1'000 * value; }),
       false},
      {{kOrange, "time_to_exhaustion"}, 30, 29.9, 57.9, 58, calm_but([](WindowInput& window, double value) {
         window.time_to_exhaustion_s = value;
       })},
      {{kOrange, "local_failures"}, 0, 1, 1, 0, calm_but(failed_local)},
      {{kRed, "p_stress"}, 0.8499, 0.8501, 0.6501, 0.6499, with_stress, false},
      {{kRed, "cfr_local"}, 0.199, 0.2, 0.1, 0.099, calm_but([](WindowInput& window, double value) {
         window.features.pooled_connects = {1'000, static_cast<std::uint32_t>(std::lround(1'000 * value)), 0};
       })},
      {{kRed, "ppr"},
       0.949,
       0.95,
       0.90,
       0.899,
       calm_but([](WindowInput& window, double value) { window.features.ppr = value; }),
       false},
      {{Effect::kPeerFault, "cfr_peer"}, 0.019, 0.020, 0.010, 0.009, calm_but(failures_of_a_thousand)},
  };
}

/// Rows that take more than one number of one window; each has the test of this file that is named after it.
const std::set<Row>& rows_with_a_test_of_their_own() {
  static const std::set<Row> kRows = {
      {Effect::kYellow, "past_cliff"},         {Effect::kYellow, "ppr"},       {Effect::kYellow, "twr"},
      {Effect::kRed, "local_failure_windows"}, {Effect::kRed, "tail_blowout"}, {Effect::kRed, "operator_hold"},
      {Effect::kRed, "since_local_failure"},   {Effect::kRed, "free_margin"}};
  return kRows;
}

/// The table without all rows but these.
Policy only(const std::set<Row>& rows) {
  Policy policy;
  policy.stress_model = &queue_model();
  policy.burst_quorum = 1;
  std::erase_if(policy.conditions, [&](const Condition& condition) {
    return rows.count({condition.effect, std::string(condition.name)}) == 0;
  });
  return policy;
}

State state_of(Effect effect) { return kStates[static_cast<std::size_t>(effect) + 1]; }

bool has(const Decision& decision, Effect effect) {
  return effect == Effect::kPeerFault ? decision.has_peer_fault : decision.standing.state == state_of(effect);
}

int dwell_windows(const Policy& policy, Effect effect) {
  const auto dwell =
      effect == Effect::kPeerFault ? policy.peer_fault_dwell : policy.minimum_dwell[place(state_of(effect))];
  return static_cast<int>(dwell / kWindow);
}

std::string text(const Row& row) { return fmt::format("effect {}, {}", static_cast<int>(row.first), row.second); }

TEST(Conditions, each_row_of_the_table_has_a_case) {
  std::set<Row> covered = rows_with_a_test_of_their_own();
  for (const Case& one : cases()) EXPECT_TRUE(covered.insert(one.row).second) << text(one.row);
  std::set<Row> rows;
  for (const Condition& condition : default_conditions()) {
    const Row row{condition.effect, std::string(condition.name)};
    EXPECT_TRUE(rows.insert(row).second) << text(row) << " is there twice";
    EXPECT_TRUE(covered.count(row)) << text(row) << " has no case";
  }
  EXPECT_EQ(rows, covered);
}

TEST(Conditions, each_fires_from_its_enter_threshold_on) {
  for (const Case& one : cases()) {
    Feed feed(only({one.row}));
    EXPECT_FALSE(has(feed.windows(5, one.window(one.quiet)), one.row.first)) << text(one.row);
    EXPECT_TRUE(has(feed.window(one.window(one.fires)), one.row.first)) << text(one.row);
    if (one.row.first == Effect::kPeerFault) continue;
    ASSERT_TRUE(feed.last.transition) << text(one.row);
    EXPECT_TRUE(names(feed.last.transition->reasons, one.row.second)) << text(one.row);
  }
}

TEST(Conditions, each_clears_beyond_its_leave_threshold_after_exactly_its_dwell) {
  for (const Case& one : cases()) {
    Feed feed(only({one.row}));
    feed.window(one.window(one.quiet));
    feed.window(one.window(one.fires));
    const int dwell = dwell_windows(feed.policy, one.row.first);
    ASSERT_GE(dwell, 10) << text(one.row);
    EXPECT_TRUE(has(feed.windows(2 * dwell, one.window(one.holds)), one.row.first)) << text(one.row);
    EXPECT_TRUE(has(feed.windows(dwell, one.window(one.clears)), one.row.first)) << text(one.row);
    EXPECT_FALSE(has(feed.window(one.window(one.clears)), one.row.first)) << text(one.row);
  }
}

TEST(Conditions, each_that_can_fires_alone_in_the_whole_table) {
  for (const Case& one : cases()) {
    if (!one.is_alone) continue;
    Policy policy;
    policy.stress_model = &queue_model();
    Feed feed(policy);
    EXPECT_EQ(feed.windows(5, one.window(one.quiet)).standing, Standing{}) << text(one.row);
    EXPECT_TRUE(has(feed.window(one.window(one.fires)), one.row.first)) << text(one.row);
    if (one.row.first == Effect::kPeerFault) continue;
    ASSERT_TRUE(feed.last.transition);
    EXPECT_EQ(feed.last.transition->reasons.size(), 1U) << text(one.row);
  }
}

TEST(Conditions, past_cliff_takes_two_windows_in_a_row) {
  WindowInput past = calm_window();
  past.features.port_search_time.reset();
  WindowInput not_past = past;
  past.is_past_cliff = true;
  Feed feed(only({{Effect::kYellow, "past_cliff"}}));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(feed.window(past).standing.state, State::kGreen);
    feed.window(not_past);
  }
  WindowInput unknown = not_past;
  unknown.is_past_cliff.reset();
  feed.window(past);
  EXPECT_TRUE(is_off(feed.window(unknown), feed.policy, Effect::kYellow, "past_cliff"));
  EXPECT_EQ(feed.window(past).standing.state, State::kGreen) << "not in a row";
  EXPECT_EQ(feed.window(past).standing.state, State::kYellow);
  EXPECT_EQ(feed.windows(30, past).standing.state, State::kYellow);
  EXPECT_EQ(feed.windows(10, not_past).standing.state, State::kYellow);
  EXPECT_EQ(feed.window(not_past).standing.state, State::kGreen);
}

TEST(Conditions, past_cliff_is_what_the_measured_port_search_says) {
  WindowInput slow = calm_window();
  slow.features.port_search_time->p95_us = 201;  // 20 times the prior of 10 µs
  Feed feed(only({{Effect::kYellow, "past_cliff"}}));
  EXPECT_EQ(feed.windows(2, slow).standing.state, State::kYellow);

  WindowInput fast = calm_window();
  fast.features.port_search_time->p95_us = 200;
  fast.is_past_cliff = true;
  Feed measured(only({{Effect::kYellow, "past_cliff"}}));
  EXPECT_EQ(measured.windows(5, fast).standing.state, State::kGreen);
  fast.features.port_search_time->count = 19;
  EXPECT_EQ(measured.windows(2, fast).standing.state, State::kYellow) << "too few to be measured";
}

/// A port ratio counts for YELLOW while it rises: more than 0.01 above its mean of ten seconds.
void expect_counts_only_while_rising(const Row& row, std::optional<double> telemetry::Features::*ratio) {
  const auto at = [&](double value) {
    WindowInput window = calm_window();
    window.features.*ratio = value;
    return window;
  };
  Feed flat(only({row}));
  EXPECT_EQ(flat.windows(60, at(0.90)).standing.state, State::kGreen) << text(row);

  Feed below(only({row}));
  below.window(at(0));
  EXPECT_EQ(below.window(at(0.399)).standing.state, State::kGreen) << text(row);

  Feed feed(only({row}));
  feed.window(at(0));
  EXPECT_EQ(feed.window(at(0.40)).standing.state, State::kYellow) << text(row);
  // 0.002/s is 0.02 in ten seconds: it goes on rising, above the leave threshold of 0.35.
  double value = 0.35;
  feed.windows(60, at(0.30));
  EXPECT_EQ(feed.last.standing.state, State::kGreen) << text(row);
  feed.window(at(0.60));
  feed.windows(9, at(0.10));
  ASSERT_EQ(feed.last.standing.state, State::kYellow) << text(row);
  for (int i = 0; i < 30; ++i) feed.window(at(value += 0.002));
  EXPECT_EQ(feed.last.standing.state, State::kYellow) << text(row);
  feed.windows(40, at(value));
  EXPECT_EQ(feed.last.standing.state, State::kGreen) << text(row) << " it does not rise any more";
}

TEST(Conditions, ppr_counts_only_while_it_rises) {
  expect_counts_only_while_rising({Effect::kYellow, "ppr"}, &telemetry::Features::ppr);
}

TEST(Conditions, twr_counts_only_while_it_rises) {
  expect_counts_only_while_rising({Effect::kYellow, "twr"}, &telemetry::Features::twr);
}

WindowInput local_failure_window() {
  WindowInput window = calm_window();
  window.features.connects = {1'000, 1, 0};
  return window;
}

TEST(Conditions, local_failure_windows_are_three_of_the_last_five) {
  Feed feed(only({{Effect::kRed, "local_failure_windows"}}));
  feed.windows(2, local_failure_window());
  feed.windows(3, calm_window());
  EXPECT_EQ(feed.window(local_failure_window()).standing.state, State::kGreen);
  feed.window(calm_window());
  feed.window(local_failure_window());
  EXPECT_EQ(feed.last.standing.state, State::kGreen) << "two of five";
  EXPECT_EQ(feed.window(local_failure_window()).standing.state, State::kRed);
  // The last failure counts in four more windows; from the fifth on the dwell runs.
  EXPECT_EQ(feed.windows(4 + 30, calm_window()).standing.state, State::kRed);
  EXPECT_EQ(feed.window(calm_window()).standing.state, State::kOrange);
}

TEST(Conditions, local_failure_windows_count_a_guard_in_its_window) {
  Feed feed(only({{Effect::kRed, "local_failure_windows"}}));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(feed.at_once(Guard::kLocalConnectFailure).standing.state, State::kGreen);
    feed.window(calm_window());
  }
  EXPECT_EQ(feed.last.standing.state, State::kRed);
}

TEST(Conditions, tail_blowout_takes_five_windows_while_orange) {
  const std::set<Row> rows = {{Effect::kRed, "tail_blowout"}, {Effect::kOrange, "time_to_exhaustion"}};
  for (const bool is_send : {false, true}) {
    const auto at = [&](double ratio, double exhaustion_s) {
      WindowInput window = calm_window();
      (is_send ? window.features.send_delay : window.features.connect_time)->p95_us = 1'000 * ratio;
      window.time_to_exhaustion_s = exhaustion_s;
      return window;
    };
    Feed calm(only(rows));
    EXPECT_EQ(calm.windows(20, at(10.1, kNever)).standing.state, State::kGreen) << "not ORANGE";
    Feed feed(only(rows));
    feed.window(at(1, 0));
    EXPECT_EQ(feed.windows(20, at(10, 0)).standing.state, State::kOrange);
    EXPECT_EQ(feed.windows(4, at(10.1, 0)).standing.state, State::kOrange);
    feed.window(at(1, 0));
    EXPECT_EQ(feed.windows(4, at(10.1, 0)).standing.state, State::kOrange) << "not in a row";
    EXPECT_EQ(feed.window(at(10.1, 0)).standing.state, State::kRed);
    EXPECT_EQ(feed.windows(40, at(10.1, 0)).standing.state, State::kRed);
    EXPECT_EQ(feed.windows(30, at(1, 0)).standing.state, State::kRed);
    EXPECT_EQ(feed.window(at(1, 0)).standing.state, State::kOrange);
  }
}

TEST(Conditions, operator_hold_is_red_until_its_dwell_after_the_release) {
  Feed feed;
  feed.window(calm_window());
  EXPECT_EQ(feed.at_once(Guard::kOperatorHold).standing.state, State::kRed);
  EXPECT_EQ(feed.windows(100, calm_window()).standing.state, State::kRed);
  EXPECT_EQ(feed.at_once(Guard::kOperatorRelease).standing.state, State::kRed);
  EXPECT_EQ(feed.windows(30, calm_window()).standing.state, State::kRed);
  EXPECT_EQ(feed.window(calm_window()).standing.state, State::kOrange);
}

/// RED by a hold that is over; only `row` can keep it.
Feed red_and_released(const std::string& row) {
  Feed feed(only({{Effect::kRed, "operator_hold"}, {Effect::kRed, row}}));
  feed.window(calm_window());
  feed.take(Guard::kOperatorHold, base::Nanoseconds(0));
  feed.take(Guard::kOperatorRelease, base::Nanoseconds(0));
  return feed;
}

TEST(Conditions, since_local_failure_holds_red_for_thirty_seconds) {
  Feed feed = red_and_released("since_local_failure");
  feed.windows(10, calm_window());
  feed.window(local_failure_window());
  EXPECT_EQ(feed.windows(29 + 30, calm_window()).standing.state, State::kRed);
  EXPECT_EQ(feed.window(calm_window()).standing.state, State::kOrange);

  Feed never = red_and_released("since_local_failure");
  never.windows(30, calm_window());
  EXPECT_EQ(never.window(calm_window()).standing.state, State::kOrange) << "none was ever seen";
}

TEST(Conditions, since_local_failure_alone_raises_nothing) {
  Feed feed(only({{Effect::kRed, "since_local_failure"}}));
  EXPECT_EQ(feed.windows(5, local_failure_window()).standing.state, State::kGreen);
}

TEST(Conditions, free_margin_holds_red_while_demand_would_eat_what_comes_free) {
  WindowInput tight = calm_window();
  tight.free_margin = 0.9;
  WindowInput roomy = calm_window();
  roomy.free_margin = 1;
  Feed feed = red_and_released("free_margin");
  EXPECT_EQ(feed.windows(60, tight).standing.state, State::kRed);
  EXPECT_EQ(feed.windows(30, roomy).standing.state, State::kRed);
  EXPECT_EQ(feed.window(roomy).standing.state, State::kOrange);
  EXPECT_EQ(Feed(only({{Effect::kRed, "free_margin"}})).windows(5, tight).standing.state, State::kGreen);
}

TEST(Conditions, two_of_three_make_a_burst) {
  for (unsigned which = 0; which < 8; ++which) {
    WindowInput window = calm_window();
    if ((which & 1U) != 0) window.features.pooled_connects = {1'000, 0, 20};
    if ((which & 2U) != 0) window.features.burst_index = 0.4;
    if ((which & 4U) != 0) window.features.send_delay->p95_us = 3'000;
    const bool is_burst = which == 3 || which == 5 || which >= 6;
    Feed feed;
    EXPECT_EQ(feed.window(window).standing.state, is_burst ? State::kOrange : State::kGreen) << which;
    if (is_burst) {
      EXPECT_EQ(feed.last.transition->reasons.size(), which == 7 ? 3U : 2U);
    }
    // One that is left does not hold what two made.
    WindowInput one = calm_window();
    one.features.burst_index = 0.9;
    feed.windows(20, one);
    feed.window(one);
    EXPECT_LE(feed.last.standing.state, State::kYellow) << which;
  }
}

}  // namespace
}  // namespace tidewaiter::control
