// SPDX-License-Identifier: Apache-2.0
#include "control/step.h"

#include <gtest/gtest.h>
#include <utility>
#include <vector>

#include "control/tests/feed.h"
#include "telemetry/connect_pool.h"

namespace tidewaiter::control {
namespace {

WindowInput with_ppr(double ppr) {
  WindowInput window = calm_window();
  window.features.ppr = ppr;
  return window;
}

/// ORANGE by the forecast.
WindowInput short_of_ports() {
  WindowInput window = calm_window();
  window.time_to_exhaustion_s = 10;
  return window;
}

WindowInput with_pooled(std::uint32_t attempts, std::uint32_t local, std::uint32_t peer) {
  WindowInput window = calm_window();
  window.features.connects = {attempts, local, peer};
  window.features.pooled_connects = {attempts, local, peer};
  return window;
}

TEST(Step, starts_green) {
  Feed feed;
  feed.window(calm_window());
  EXPECT_EQ(feed.last.standing, Standing{});
  EXPECT_FALSE(feed.last.transition);
  EXPECT_TRUE(feed.last.reasons.empty());
  EXPECT_EQ(feed.last.detected, parameters_of(feed.policy, State::kGreen, 470));
}

TEST(Step, goes_up_at_once_by_as_many_states_as_the_input_asks) {
  Feed feed;
  feed.window(calm_window());
  WindowInput full = with_ppr(0.97);
  full.time_to_cliff_s = 0;
  full.time_to_exhaustion_s = 0;
  feed.window(full);
  ASSERT_TRUE(feed.last.transition);
  EXPECT_EQ(feed.last.transition->from, Standing{});
  EXPECT_EQ(feed.last.transition->to.state, State::kRed);
  EXPECT_EQ(feed.last.transition->trigger, Trigger::kWindow);
  EXPECT_EQ(feed.last.transition->reasons.begin()->condition, "ppr") << "what asks for most comes first";
  EXPECT_TRUE(names(feed.last.transition->reasons, "time_to_exhaustion"));
  EXPECT_TRUE(names(feed.last.transition->reasons, "time_to_cliff"));
}

TEST(Step, says_what_fired_with_value_and_threshold) {
  Feed feed;
  feed.window(calm_window());
  feed.window(short_of_ports());
  ASSERT_TRUE(feed.last.transition);
  ASSERT_EQ(feed.last.transition->reasons.size(), 1U);
  const Reason& reason = *feed.last.transition->reasons.begin();
  EXPECT_EQ(reason.condition, "time_to_exhaustion");
  EXPECT_EQ(reason.comparison, Comparison::kBelow);
  EXPECT_EQ(reason.value, 10);
  EXPECT_EQ(reason.threshold, 30);
  WindowInput held = calm_window();
  held.time_to_exhaustion_s = 40;
  EXPECT_EQ(feed.window(held).reasons.begin()->threshold, 58) << "held by the leave threshold";
}

TEST(Step, goes_down_one_state_at_a_time_each_after_its_dwell) {
  Feed feed;
  feed.window(calm_window());
  feed.window(with_ppr(0.97));
  std::vector<std::pair<State, int>> seen;
  for (int second = 1; second <= 70; ++second) {
    if (feed.window(calm_window()).transition) seen.emplace_back(feed.last.standing.state, second);
  }
  // The first calm window begins RED's dwell; the window that leaves a state begins the next one's.
  const std::vector<std::pair<State, int>> expected = {{State::kOrange, 31}, {State::kYellow, 51}, {State::kGreen, 61}};
  EXPECT_EQ(seen, expected);
}

TEST(Step, starts_the_dwell_anew_when_a_condition_comes_back) {
  Feed feed;
  feed.window(short_of_ports());
  feed.windows(20, calm_window());
  feed.window(short_of_ports());
  feed.windows(20, calm_window());
  EXPECT_EQ(feed.last.standing.state, State::kOrange);
  EXPECT_EQ(feed.window(calm_window()).standing.state, State::kYellow);
}

TEST(Step, starts_the_dwell_anew_with_a_guard_that_no_window_counts) {
  WindowInput census = census_window(0.0, 0.0);
  Feed feed;
  feed.window(census);
  EXPECT_EQ(feed.at_once(Guard::kLocalConnectFailure).standing.state, State::kOrange);
  feed.windows(20, census);
  feed.at_once(Guard::kLocalConnectFailure);
  EXPECT_EQ(feed.window(census).standing.state, State::kOrange);
  feed.windows(19, census);
  EXPECT_EQ(feed.last.standing.state, State::kOrange);
  EXPECT_EQ(feed.windows(2, census).standing.state, State::kYellow);
}

TEST(Step, acts_on_a_guard_at_once_between_windows) {
  Feed feed;
  feed.window(calm_window());
  const base::Instant window_at = feed.now;
  feed.at_once(Guard::kLocalConnectFailure);
  ASSERT_TRUE(feed.last.transition);
  EXPECT_EQ(feed.last.transition->trigger, Trigger::kGuard);
  EXPECT_EQ(feed.last.standing.state, State::kOrange);
  EXPECT_EQ(feed.last.since, window_at + base::Milliseconds(1));
  EXPECT_TRUE(names(feed.last.transition->reasons, "local_failures"));
  EXPECT_EQ(feed.last.enforced.connection.max_new_connects, 4U);
  EXPECT_EQ(feed.at_once(Guard::kOperatorHold).standing.state, State::kRed);
}

TEST(Step, takes_an_earlier_clock_as_no_time_passed) {
  Feed feed;
  feed.window(short_of_ports());
  feed.windows(10, calm_window());
  feed.take(calm_window(), base::Seconds(-600));
  const Decision before = feed.last;
  EXPECT_EQ(before.standing.state, State::kOrange);
  feed.now += base::Seconds(600);
  feed.windows(10, calm_window());
  EXPECT_EQ(feed.last.standing.state, State::kOrange);
  EXPECT_EQ(feed.window(calm_window()).standing.state, State::kYellow);

  Feed guarded;
  guarded.take(Guard::kLocalConnectFailure);
  guarded.take(with_pooled(100, 0, 0), base::Seconds(-5));
  for (const Reason& reason : guarded.last.reasons) EXPECT_GE(reason.value, 0) << reason.condition;
}

// Small numbers.

TEST(Step, judges_few_attempts_by_what_the_failure_rate_is_at_least) {
  // Wilson: 1 of 19 is at least 1.2 %, 2 of 19 at least 3.5 %. With 20 attempts the share itself decides: 1 is 5 %.
  EXPECT_FALSE(Feed().window(with_pooled(19, 0, 1)).has_peer_fault);
  EXPECT_TRUE(Feed().window(with_pooled(19, 0, 2)).has_peer_fault);
  EXPECT_TRUE(Feed().window(with_pooled(20, 0, 1)).has_peer_fault);
}

TEST(Step, knows_no_latency_below_twenty_events) {
  WindowInput slow = calm_window();
  slow.features.connect_time = {100'000, 19};
  slow.features.send_delay = {100'000, 19};
  slow.features.burst_index = 0.9;
  Feed feed;
  feed.window(slow);
  EXPECT_EQ(feed.last.standing.state, State::kGreen);
  EXPECT_TRUE(is_off(feed.last, feed.policy, Effect::kYellow, "ctl95"));
  EXPECT_TRUE(is_off(feed.last, feed.policy, Effect::kOrange, "dsd95"));
  EXPECT_TRUE(is_off(feed.last, feed.policy, Effect::kRed, "tail_blowout"));
  slow.features.connect_time->count = slow.features.send_delay->count = 20;
  EXPECT_EQ(feed.window(slow).standing.state, State::kOrange);
}

TEST(Step, knows_no_failure_rate_without_attempts) {
  Feed feed;
  feed.window(with_pooled(0, 0, 0));
  EXPECT_TRUE(is_off(feed.last, feed.policy, Effect::kOrange, "cfr"));
  EXPECT_TRUE(is_off(feed.last, feed.policy, Effect::kRed, "cfr_local"));
  EXPECT_TRUE(is_off(feed.last, feed.policy, Effect::kPeerFault, "cfr_peer"));
}

// What is not known.

TEST(Step, lists_the_rows_whose_source_is_missing) {
  Feed feed;
  feed.window(WindowInput{});
  for (std::size_t row = 0; row < feed.policy.conditions.size(); ++row) {
    EXPECT_EQ(feed.last.off[row], feed.policy.conditions[row].signal != Signal::kOperatorHold)
        << feed.policy.conditions[row].name;
  }
  EXPECT_FALSE(feed.last.stress);
  EXPECT_TRUE(feed.window(calm_window()).off.none());
  // Rows that need events are those that a census cannot give.
  WindowInput census = calm_window();
  census.features = telemetry::Features{};
  census.features.ppr = census.features.ppr_preferred = census.features.twr = 0.0;
  Feed tier0;
  tier0.window(census);
  for (std::size_t row = 0; row < tier0.policy.conditions.size(); ++row) {
    const Condition& condition = tier0.policy.conditions[row];
    EXPECT_EQ(tier0.last.off[row], !condition.needs.empty()) << condition.name;
  }
}

TEST(Step, does_not_let_a_missing_input_hold_a_state) {
  WindowInput census = census_window(0.97, 0.5);
  Feed feed;
  feed.window(census);
  EXPECT_EQ(feed.last.standing.state, State::kRed);
  feed.windows(61, WindowInput{});
  EXPECT_EQ(feed.last.standing.state, State::kGreen);
}

TEST(Step, has_no_parity_rows_for_a_tuple_that_the_connector_serves) {
  WindowInput half = calm_window();
  half.features.ppr_preferred = 1.0;
  half.time_to_cliff_s = 0;
  half.is_past_cliff = true;
  half.features.port_search_time = {100'000, 100};
  half.is_served_by_connector = true;
  Feed feed;
  feed.windows(5, half);
  EXPECT_EQ(feed.last.standing.state, State::kGreen);
  for (const char* name : {"ppr_preferred", "time_to_cliff", "past_cliff"}) {
    EXPECT_TRUE(is_off(feed.last, feed.policy, Effect::kYellow, name)) << name;
  }
  half.is_served_by_connector = false;
  EXPECT_EQ(feed.window(half).standing.state, State::kYellow);
}

// Baselines.

TEST(Step, measures_latencies_by_the_prior_before_thirty_green_windows) {
  WindowInput slow = calm_window();
  slow.features.connect_time->p95_us = 2'900;
  Feed feed;
  feed.windows(28, slow);
  WindowInput slower = slow;
  slower.features.connect_time->p95_us = 3'000;
  EXPECT_EQ(Feed(feed).window(slower).standing.state, State::kYellow);
  feed.window(slow);
  EXPECT_FALSE(feed.state.connect_time.is_learnt());
  // A window is learnt before it is judged: from the thirtieth on 2.9 ms is what GREEN is like.
  feed.window(slow);
  EXPECT_TRUE(feed.state.connect_time.is_learnt());
  EXPECT_EQ(feed.window(slower).standing.state, State::kGreen);
  slower.features.connect_time->p95_us = 8'700;
  EXPECT_EQ(feed.window(slower).standing.state, State::kYellow);
}

TEST(Step, learns_nothing_outside_green) {
  Feed feed;
  feed.windows(40, calm_window());
  const auto learnt = feed.state.connect_time.windows();
  WindowInput slow = short_of_ports();
  slow.features.connect_time->p95_us = 2'000;
  feed.window(slow);  // judged only after it was learnt: it came in GREEN
  feed.windows(100, slow);
  EXPECT_EQ(feed.last.standing.state, State::kOrange);
  EXPECT_EQ(feed.state.connect_time.windows(), learnt + 1);
  EXPECT_EQ(feed.state.send_delay.windows(), learnt + 1);
  EXPECT_EQ(feed.state.port_search.windows(), learnt + 1);
  EXPECT_DOUBLE_EQ(feed.state.connect_time.value(0), 1'000);
}

TEST(Step, does_not_divide_by_a_median_of_nothing) {
  WindowInput instant = calm_window();
  instant.features.connect_time->p95_us = 0;
  instant.features.port_search_time->p95_us = 0;
  Feed feed;
  feed.windows(40, instant);
  instant.features.connect_time->p95_us = 2;
  instant.features.port_search_time->p95_us = 2;
  EXPECT_EQ(feed.windows(3, instant).standing.state, State::kGreen);
}

TEST(Step, what_a_rule_denies_is_neither_port_stress_nor_a_peers_fault) {
  WindowInput denied = calm_window();
  denied.features.connects = telemetry::ConnectCounts{30, 0, 0, 30};
  denied.features.pooled_connects = denied.features.connects;
  Feed feed;
  const Decision decision = feed.windows(5, denied);
  EXPECT_EQ(decision.standing.state, State::kGreen);
  EXPECT_FALSE(decision.has_peer_fault);
}

// Refusals of our own.

TEST(Step, has_no_input_for_refusals_of_our_own) {
  // A refused connect is no attempt: the counts have no other member, and a window of nothing but refusals is empty.
  const auto [attempts, failed_local, failed_peer, failed_other] = telemetry::ConnectCounts{};
  EXPECT_EQ(attempts + failed_local + failed_peer + failed_other, 0U);
  telemetry::ConnectPool pool;
  base::Instant now = kStart;
  pool.add(now, {30, 3, 1});
  const auto before = pool.pooled(now);
  for (int i = 0; i < 20; ++i) pool.add(now += kWindow, {});
  EXPECT_EQ(pool.pooled(now), before);
}

TEST(Step, leaves_red_while_its_own_budget_refuses_everything) {
  telemetry::ConnectPool pool;
  Feed feed;
  feed.window(with_pooled(100, 50, 0));
  EXPECT_EQ(feed.last.standing.state, State::kRed);
  pool.add(feed.now, {100, 50, 0});
  State state = State::kRed;
  for (int second = 0; second < 30 + 30 + 30 + 20 + 10 + 5; ++second) {
    WindowInput refused = calm_window();
    refused.features.connects = telemetry::ConnectCounts{};
    pool.add(feed.now + kWindow, *refused.features.connects);
    refused.features.pooled_connects = pool.pooled(feed.now + kWindow);
    state = feed.window(refused).standing.state;
  }
  EXPECT_EQ(state, State::kGreen);
}

// Peers.

/// What time-outs at the peer look like: retries in step, sends that wait, connect times at the time-out.
WindowInput peer_outage() {
  WindowInput window = with_pooled(200, 0, 150);
  window.features.connect_time->p95_us = 3e6;
  window.features.send_delay->p95_us = 3e6;
  window.features.burst_index = 1.0;
  window.features.retry_queue_depth = 100.0;
  window.features.reconnects_per_s = 50.0;
  return window;
}

TEST(Step, paces_retries_on_a_peer_fault_and_nothing_else) {
  Feed feed;
  feed.window(with_pooled(1'000, 0, 20));
  EXPECT_TRUE(feed.last.has_peer_fault);
  EXPECT_EQ(feed.last.standing.state, State::kGreen);
  EXPECT_TRUE(names(feed.last.reasons, "cfr_peer"));
  Parameters expected = parameters_of(feed.policy, State::kGreen, 470);
  expected.connection.retry_rate_per_s = 5.0;
  expected.connection.retry_burst = 5.0;
  EXPECT_EQ(feed.last.detected, expected);
}

TEST(Step, applies_only_the_connection_group_of_a_burst_by_peers) {
  Policy policy;
  policy.modes = {Mode::kEnforce, Mode::kEnforce};
  Feed feed(policy);
  feed.window(calm_window());
  feed.window(peer_outage());
  EXPECT_EQ(feed.last.standing.state, State::kOrange);
  EXPECT_EQ(feed.last.order_state, State::kGreen);
  EXPECT_EQ(feed.last.enforced.connection, parameters_of(policy, State::kOrange, 470).connection);
  EXPECT_EQ(feed.last.enforced.order, parameters_of(policy, State::kGreen, 470).order);
}

TEST(Step, does_not_take_the_tail_of_a_peers_outage_for_its_own) {
  Feed feed;
  feed.windows(40, calm_window());
  for (int second = 0; second < 600; ++second) {
    feed.window(peer_outage());
    ASSERT_EQ(feed.last.standing.state, State::kOrange);
    ASSERT_EQ(feed.last.order_state, State::kGreen);
  }
  // The peer is back; the tail of what it caused is still in the windows.
  WindowInput tail = peer_outage();
  tail.features.connects = tail.features.pooled_connects = {200, 0, 0};
  feed.windows(10, tail);
  EXPECT_EQ(feed.last.order_state, State::kGreen);
}

TEST(Step, taxes_orders_by_a_burst_as_soon_as_a_connect_fails_here) {
  Feed feed;
  feed.window(calm_window());
  feed.windows(5, peer_outage());
  WindowInput local = peer_outage();
  local.features.connects = local.features.pooled_connects = {200, 1, 149};
  feed.window(local);
  EXPECT_EQ(feed.last.order_state, State::kOrange);
  Feed guarded;
  guarded.window(calm_window());
  guarded.windows(5, peer_outage());
  EXPECT_EQ(guarded.at_once(Guard::kLocalConnectFailure).order_state, State::kOrange);
}

TEST(Step, lets_orders_follow_ports_while_peers_hold_the_state) {
  WindowInput both = peer_outage();
  both.features.ppr_preferred = 0.75;
  Feed feed;
  feed.window(calm_window());
  feed.window(both);
  EXPECT_EQ(feed.last.standing.state, State::kOrange);
  EXPECT_EQ(feed.last.order_state, State::kYellow);
  feed.windows(10, peer_outage());
  EXPECT_EQ(feed.last.order_state, State::kYellow);
  feed.window(peer_outage());
  EXPECT_EQ(feed.last.order_state, State::kGreen) << "after YELLOW's dwell";
  EXPECT_EQ(feed.last.standing.state, State::kOrange);
}

// STALE.

TEST(Step, is_stale_after_three_missed_windows) {
  Feed feed;
  feed.window(calm_window());
  feed.take(MissedWindow{});
  feed.take(MissedWindow{});
  EXPECT_FALSE(feed.last.standing.is_stale);
  feed.take(MissedWindow{});
  EXPECT_EQ(name(feed.last.standing), "STALE");
  ASSERT_TRUE(feed.last.transition);
  EXPECT_EQ(feed.last.transition->trigger, Trigger::kMissedWindow);
  EXPECT_TRUE(names(feed.last.transition->reasons, "missed_windows"));
  EXPECT_FALSE(feed.take(MissedWindow{}).transition) << "once";
}

TEST(Step, does_not_add_up_missed_windows_that_are_apart) {
  Feed feed;
  for (int i = 0; i < 10; ++i) {
    feed.window(calm_window());
    feed.take(MissedWindow{});
    EXPECT_FALSE(feed.take(MissedWindow{}).standing.is_stale);
  }
}

TEST(Step, is_stale_as_the_policy_says_and_comes_back) {
  for (const State state : kStates) {
    Policy policy;
    policy.modes = {Mode::kEnforce, Mode::kEnforce};
    Feed feed(policy);
    feed.window(calm_window());
    if (state == State::kYellow) {
      WindowInput half = calm_window();
      half.features.ppr_preferred = 0.7;
      feed.window(half);
    }
    if (state == State::kOrange) feed.window(short_of_ports());
    if (state == State::kRed) feed.window(with_ppr(0.97));
    ASSERT_EQ(feed.last.standing.state, state);
    const Parameters before = feed.last.detected;
    for (int i = 0; i < 3; ++i) feed.take(MissedWindow{});
    ASSERT_TRUE(feed.last.standing.is_stale);
    const Parameters green = parameters_of(policy, State::kGreen, 470);
    const Parameters yellow = parameters_of(policy, State::kYellow, 470);
    const Parameters& stale = feed.last.detected;
    EXPECT_EQ(stale, feed.last.enforced);
    EXPECT_EQ(stale, feed.last.stale);
    EXPECT_EQ(stale.connection, state == State::kGreen ? yellow.connection : before.connection) << name(state);
    OrderParameters orders = green.order;
    if (state == State::kRed) {
      orders.non_urgent_flow = NonUrgentFlow::kContained;
      orders.urgency_override = UrgencyOverride::kApproval;
    }
    EXPECT_EQ(stale.order, orders) << name(state);

    feed.window(calm_window());
    EXPECT_EQ(feed.last.standing, (Standing{state, false})) << "as it was";
    ASSERT_TRUE(feed.last.transition);
    EXPECT_TRUE(names(feed.last.transition->reasons, "missed_windows"));
    feed.windows(80, calm_window());
    EXPECT_EQ(feed.last.standing, Standing{});
  }
}

TEST(Step, begins_no_dwell_while_stale) {
  Feed feed;
  feed.window(short_of_ports());
  feed.windows(15, calm_window());
  for (int i = 0; i < 30; ++i) feed.take(MissedWindow{});
  feed.windows(20, calm_window());
  EXPECT_EQ(feed.last.standing.state, State::kOrange);
  EXPECT_EQ(feed.window(calm_window()).standing.state, State::kYellow);
}

TEST(Step, rises_out_of_stale_with_both_reasons) {
  Feed feed;
  feed.window(calm_window());
  for (int i = 0; i < 3; ++i) feed.take(MissedWindow{});
  feed.window(short_of_ports());
  ASSERT_TRUE(feed.last.transition);
  EXPECT_EQ(feed.last.transition->from, (Standing{State::kGreen, true}));
  EXPECT_EQ(feed.last.transition->to, (Standing{State::kOrange, false}));
  EXPECT_TRUE(names(feed.last.transition->reasons, "time_to_exhaustion"));
  EXPECT_TRUE(names(feed.last.transition->reasons, "missed_windows"));
}

// Flapping.

WindowInput half_full() {
  WindowInput window = calm_window();
  window.features.ppr_preferred = 0.75;
  return window;
}

TEST(Step, doubles_the_dwell_when_it_flaps_and_says_so_once) {
  Feed feed;
  feed.window(calm_window());
  int reported = 0;
  // Up, down after 10 s, up …: the seventh transition within 10 min turns the guard on.
  for (int transition = 1; transition <= 12; ++transition) {
    const bool is_up = transition % 2 == 1;
    const int windows = is_up ? 1 : transition < 8 ? 11 : 21;
    feed.windows(windows, is_up ? half_full() : calm_window());
    ASSERT_TRUE(feed.last.transition) << transition;
    EXPECT_EQ(feed.last.began_flapping, transition == 7) << transition;
    EXPECT_EQ(feed.last.is_flapping, transition >= 7) << transition;
    reported += feed.last.began_flapping ? 1 : 0;
  }
  EXPECT_EQ(reported, 1);
  feed.windows(599, calm_window());
  EXPECT_TRUE(feed.last.is_flapping);
  EXPECT_FALSE(feed.window(calm_window()).is_flapping) << "10 calm minutes";
  feed.window(half_full());
  feed.windows(10, calm_window());
  EXPECT_EQ(feed.last.standing.state, State::kYellow);
  EXPECT_EQ(feed.window(calm_window()).standing.state, State::kGreen) << "the dwell is as it was";
}

TEST(Step, counts_a_descent_once) {
  // Three incidents of one rise and three steps down each: six movements, twelve transitions.
  Feed feed;
  feed.window(calm_window());
  for (int incident = 0; incident < 3; ++incident) {
    feed.window(with_ppr(0.97));
    feed.windows(70, calm_window());
    ASSERT_EQ(feed.last.standing.state, State::kGreen);
    EXPECT_FALSE(feed.last.is_flapping);
  }
  EXPECT_TRUE(feed.window(half_full()).began_flapping) << "the seventh";
}

TEST(Step, does_not_call_six_transitions_flapping_nor_seven_that_are_far_apart) {
  Feed feed;
  feed.window(calm_window());
  for (int i = 0; i < 20; ++i) {
    feed.window(half_full());
    feed.windows(249, calm_window());
    EXPECT_FALSE(feed.last.is_flapping) << i;
  }
}

// Modes.

TEST(Step, enforces_a_group_only_where_its_mode_says_so) {
  for (const Mode connection : {Mode::kOff, Mode::kShadow, Mode::kEnforce}) {
    for (const Mode order : {Mode::kOff, Mode::kShadow, Mode::kEnforce}) {
      Policy policy;
      policy.modes = {connection, order};
      Feed feed(policy);
      feed.window(with_ppr(0.97));
      const Parameters green = parameters_of(policy, State::kGreen, 470);
      const Parameters red = parameters_of(policy, State::kRed, 470);
      EXPECT_EQ(feed.last.detected, red);
      EXPECT_EQ(feed.last.enforced.connection, connection == Mode::kEnforce ? red.connection : green.connection);
      EXPECT_EQ(feed.last.enforced.order, order == Mode::kEnforce ? red.order : green.order);
    }
  }
}

TEST(Step, prescribes_no_connect_rate_where_the_sustainable_one_is_not_known) {
  Feed feed;
  feed.take(Guard::kLocalConnectFailure);
  EXPECT_EQ(feed.last.standing.state, State::kOrange);
  EXPECT_FALSE(feed.last.enforced.connection.connect_rate_per_s);
  EXPECT_EQ(feed.window(short_of_ports()).enforced.connection.connect_rate_per_s, 235.0);
}

}  // namespace
}  // namespace tidewaiter::control
