// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <vector>

#include "control/signals.h"
#include "control/step.h"
#include "control/tests/feed.h"

namespace tidewaiter::control {
namespace {

double share(int of_a_thousand) { return of_a_thousand / 1'000.0; }

double any_share() { return share(*rc::gen::inRange(0, 1'001)); }

/// Near the thresholds more often than not: most of the time nothing, else up to `largest`.
double often_nothing(double largest) { return *rc::gen::inRange(0, 3) == 0 ? any_share() * largest : 0.0; }

bool any_flag() { return *rc::gen::arbitrary<bool>(); }

double any_time() {
  const double seconds = *rc::gen::inRange(0, 120);
  return any_flag() ? seconds : kNever;
}

telemetry::ConnectCounts any_counts(bool may_fail_locally) {
  const auto attempts = *rc::gen::inRange<std::uint32_t>(0, 60);
  const auto local = may_fail_locally && *rc::gen::inRange(0, 4) == 0 ? *rc::gen::inRange(0U, attempts + 1) : 0U;
  const auto peer = any_flag() ? 0U : *rc::gen::inRange(0U, attempts - local + 1);
  return {attempts, local, peer};
}

telemetry::Percentile any_latency() { return {often_nothing(30'000), *rc::gen::inRange<std::uint32_t>(0, 60)}; }

template <class Value>
void drop_some(std::optional<Value>& value) {
  if (*rc::gen::inRange(0, 6) == 0) value.reset();
}

WindowInput any_window() {
  WindowInput window;
  telemetry::Features& features = window.features;
  features.ppr = any_flag() ? any_share() : 0.1;
  features.ppr_preferred = often_nothing(1);
  features.twr = *features.ppr * any_share();
  features.connects = any_counts(true);
  features.pooled_connects = *features.connects;
  *features.pooled_connects += any_counts(true);
  features.connect_time = any_latency();
  features.port_search_time = any_latency();
  features.send_delay = any_latency();
  features.burst_index = often_nothing(1);
  features.retry_queue_depth = often_nothing(500);
  features.reconnects_per_s = often_nothing(900);
  window.time_to_cliff_s = any_time();
  window.time_to_exhaustion_s = any_time();
  window.is_past_cliff = any_flag() && any_flag();
  window.free_margin = 1'000 * any_share() - 100;
  window.sustainable_per_s = 470;
  window.is_served_by_connector = any_flag() && any_flag();
  drop_some(features.ppr);
  drop_some(features.ppr_preferred);
  drop_some(features.twr);
  drop_some(features.connects);
  drop_some(features.pooled_connects);
  drop_some(features.connect_time);
  drop_some(features.port_search_time);
  drop_some(features.send_delay);
  drop_some(features.burst_index);
  drop_some(features.retry_queue_depth);
  drop_some(features.reconnects_per_s);
  drop_some(window.time_to_cliff_s);
  drop_some(window.time_to_exhaustion_s);
  drop_some(window.is_past_cliff);
  drop_some(window.free_margin);
  return window;
}

/// Thresholds, dwell times, modes and counts at random, within check().
Policy any_policy() {
  Policy policy;
  for (Condition& condition : policy.conditions) {
    const double factor = 0.5 + any_share();
    const double band = any_share();
    if (condition.enter) *condition.enter *= factor;
    const double enter = condition.enter.value_or(condition.leave);
    condition.leave = condition.comparison == Comparison::kAtLeast ? enter * std::max(0.01, band) : enter * (1 + band);
  }
  for (const State state : {State::kYellow, State::kOrange, State::kRed}) {
    policy.minimum_dwell[place(state)] = base::Seconds(*rc::gen::inRange(1, 8));
  }
  policy.peer_fault_dwell = base::Seconds(*rc::gen::inRange(1, 8));
  policy.burst_quorum = *rc::gen::inRange<std::uint64_t>(1, 4);
  policy.stale_after_windows = *rc::gen::inRange<std::uint64_t>(1, 6);
  policy.flap_transitions = *rc::gen::inRange<std::uint64_t>(1, 8);
  policy.flap_window = base::Seconds(*rc::gen::inRange(20, 200));
  policy.modes = {static_cast<Mode>(*rc::gen::inRange(0, 3)), static_cast<Mode>(*rc::gen::inRange(0, 3))};
  RC_ASSERT(check(policy).has_value());
  return policy;
}

/// Mostly windows; guards and gaps between them.
Event any_event() {
  const int kind = *rc::gen::inRange(0, 20);
  if (kind == 0) return Guard::kLocalConnectFailure;
  if (kind == 1) return any_flag() ? Guard::kOperatorHold : Guard::kOperatorRelease;
  if (kind <= 4) return MissedWindow{};
  if (kind <= 12) return calm_window();
  return any_window();
}

/// Mostly a window's length; at times nothing, long, or backwards.
base::Nanoseconds any_pause() {
  const int kind = *rc::gen::inRange(0, 20);
  if (kind == 0) return base::Nanoseconds(0);
  if (kind == 1) return base::Seconds(-*rc::gen::inRange(1, 100));
  if (kind == 2) return base::Seconds(*rc::gen::inRange(1, 100));
  return kWindow;
}

bool compares(const Condition& condition, double value, double threshold) {
  return condition.comparison == Comparison::kAtLeast ? value >= threshold : value < threshold;
}

/// What the table says that a window asks for, read off the signals row by row.
State asked_for(TupleState before, const Event& event, const Policy& policy, base::Instant now) {
  now = std::max(now, before.latest);
  if (const auto* window = std::get_if<WindowInput>(&event)) remember(before, *window, policy, now);
  if (const auto* guard = std::get_if<Guard>(&event)) {
    if (*guard == Guard::kLocalConnectFailure) before.guard_failure = true;
    if (*guard == Guard::kLocalConnectFailure) before.last_local_failure = now;
    before.is_held = *guard == Guard::kOperatorHold || (before.is_held && *guard != Guard::kOperatorRelease);
  }
  const Signals signals = signals_of(before, policy, now);
  State highest = State::kGreen;
  std::uint64_t burst = 0;
  for (const Condition& condition : policy.conditions) {
    const auto& value = signals[condition.signal];
    if (condition.effect == Effect::kPeerFault || !condition.enter || !value) continue;
    if (condition.only_rising && !(condition.signal == Signal::kPpr ? signals.is_ppr_rising : signals.is_twr_rising))
      continue;
    if (!compares(condition, *value, *condition.enter)) continue;
    if (condition.group == Group::kBurst && ++burst < policy.burst_quorum) continue;
    highest = std::max(highest, kStates[static_cast<std::size_t>(condition.effect) + 1]);
  }
  return highest;
}

bool is_at_least_as_strict(const ConnectionParameters& left, const ConnectionParameters& right) {
  return stricter(left, right) == left;
}

bool is_same(const Reasons& left, const Reasons& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [](const Reason& a, const Reason& b) {
    return a.condition == b.condition && a.comparison == b.comparison && a.value == b.value &&
           a.threshold == b.threshold;
  });
}

bool is_same(const Decision& left, const Decision& right) {
  return left.standing == right.standing && left.since == right.since && left.has_peer_fault == right.has_peer_fault &&
         left.order_state == right.order_state && left.detected == right.detected && left.enforced == right.enforced &&
         left.stale == right.stale && left.off == right.off && left.is_flapping == right.is_flapping &&
         left.began_flapping == right.began_flapping && is_same(left.reasons, right.reasons) &&
         left.transition.has_value() == right.transition.has_value() &&
         (!left.transition || is_same(left.transition->reasons, right.transition->reasons));
}

/// Runs a random sequence; `look` sees the state before, the event, when it came, and what came of it.
template <class Look>
void with_random_events(Look look) {
  const Policy policy = any_policy();
  TupleState state;
  base::Instant now = kStart;
  const int length = *rc::gen::inRange(1, 80);
  for (int i = 0; i < length; ++i) {
    now += any_pause();
    const Event event = any_event();
    Step next = step(state, event, policy, now);
    look(state, event, policy, now, next);
    state = std::move(next.state);
  }
}

TEST(AnySequence, never_goes_down_before_the_dwell_nor_two_states_at_once) {
  EXPECT_TRUE(rc::check("dwell", [] {
    base::Instant entered{};
    base::Instant orders_entered{};
    base::Instant latest{};
    with_random_events(
        [&](const TupleState& before, const Event& event, const Policy& policy, base::Instant now, const Step& next) {
          latest = std::max(latest, now);
          const auto look = [&](State from, State to, base::Instant& since) {
            if (to < from) {
              const bool was_flapping = next.decision.is_flapping && !next.decision.began_flapping;
              RC_ASSERT(place(from) - place(to) == 1U);
              RC_ASSERT(std::holds_alternative<WindowInput>(event));
              RC_ASSERT((latest - since >= policy.minimum_dwell[place(from)] * (was_flapping ? 2 : 1)));
            }
            if (to != from) since = latest;
          };
          look(before.whole.state, next.decision.standing.state, entered);
          look(before.orders.state, next.decision.order_state, orders_entered);
          RC_ASSERT(next.decision.order_state <= next.decision.standing.state);
        });
  }));
}

TEST(AnySequence, goes_up_at_once_to_the_highest_state_asked_for) {
  EXPECT_TRUE(rc::check("up", [] {
    with_random_events(
        [](const TupleState& before, const Event& event, const Policy& policy, base::Instant now, const Step& next) {
          const State to = next.decision.standing.state;
          if (std::holds_alternative<MissedWindow>(event)) {
            RC_ASSERT(to == before.whole.state);
            return;
          }
          const State asked = asked_for(before, event, policy, now);
          RC_ASSERT(to >= asked);
          if (to > before.whole.state) RC_ASSERT(to == asked);
        });
  }));
}

TEST(AnySequence, has_the_same_output_for_the_same_input) {
  EXPECT_TRUE(rc::check("pure", [] {
    with_random_events(
        [](const TupleState& before, const Event& event, const Policy& policy, base::Instant now, const Step& next) {
          const Step again = step(before, event, policy, now);
          RC_ASSERT(is_same(next.decision, again.decision));
          // What is remembered is the same too: the next step cannot tell them apart.
          const base::Instant later = now + kWindow;
          RC_ASSERT(is_same(step(next.state, calm_window(), policy, later).decision,
                            step(again.state, calm_window(), policy, later).decision));
        });
  }));
}

TEST(AnySequence, has_a_reason_for_every_transition_and_a_transition_for_every_change) {
  EXPECT_TRUE(rc::check("reasons", [] {
    with_random_events([](const TupleState& before, const Event&, const Policy&, base::Instant, const Step& next) {
      const Decision& decision = next.decision;
      const Standing from{before.whole.state, before.is_stale};
      RC_ASSERT((decision.transition.has_value() == (from != decision.standing)));
      if (decision.standing != Standing{}) RC_ASSERT(!decision.reasons.empty());
      if (!decision.transition) return;
      RC_ASSERT(decision.transition->from == from);
      RC_ASSERT(decision.transition->to == decision.standing);
      RC_ASSERT(!decision.transition->reasons.empty());
    });
  }));
}

TEST(AnySequence, enforces_greens_where_the_mode_is_not_enforce_and_is_never_laxer_than_green) {
  EXPECT_TRUE(rc::check("modes", [] {
    with_random_events([](const TupleState&, const Event&, const Policy& policy, base::Instant, const Step& next) {
      const Decision& decision = next.decision;
      const Parameters green = parameters_of(policy, State::kGreen, 0);
      RC_ASSERT((decision.enforced.connection ==
                 (policy.modes.connection == Mode::kEnforce ? decision.detected : green).connection));
      RC_ASSERT((decision.enforced.order == (policy.modes.order == Mode::kEnforce ? decision.detected : green).order));
      for (const Parameters* parameters : {&decision.detected, &decision.enforced, &decision.stale}) {
        RC_ASSERT(is_at_least_as_strict(parameters->connection, green.connection));
        RC_ASSERT((parameters->order.clip_scale <= 1.0 && parameters->order.clip_scale > 0));
      }
    });
  }));
}

TEST(AnySequence, is_stale_exactly_after_the_missed_windows_and_until_the_next_one) {
  EXPECT_TRUE(rc::check("stale", [] {
    std::uint64_t missed = 0;
    with_random_events(
        [&](const TupleState&, const Event& event, const Policy& policy, base::Instant, const Step& next) {
          if (std::holds_alternative<MissedWindow>(event)) ++missed;
          if (std::holds_alternative<WindowInput>(event)) missed = 0;
          const Decision& decision = next.decision;
          RC_ASSERT((decision.standing.is_stale == (missed >= policy.stale_after_windows)));
          if (!decision.standing.is_stale) return;
          const State last = decision.standing.state;
          const double sustainable = next.state.last_input.sustainable_per_s;
          RC_ASSERT(decision.enforced == decision.stale);
          RC_ASSERT(is_at_least_as_strict(decision.detected.connection,
                                          parameters_of(policy, State::kYellow, sustainable).connection));
          RC_ASSERT(
              is_at_least_as_strict(decision.detected.connection, parameters_of(policy, last, sustainable).connection));
          RC_ASSERT(decision.detected.order.clip_scale == 1.0);
          RC_ASSERT(decision.detected.order.launch_jitter_max == base::Milliseconds(0));
          RC_ASSERT(((decision.detected.order.non_urgent_flow == NonUrgentFlow::kContained) == (last == State::kRed)));
        });
  }));
}

TEST(AnySequence, reports_flapping_once_and_only_where_enough_moved) {
  EXPECT_TRUE(rc::check("flap", [] {
    bool was_on = false;
    std::vector<base::Instant> moves;
    base::Instant latest{};
    with_random_events(
        [&](const TupleState& before, const Event&, const Policy& policy, base::Instant now, const Step& next) {
          latest = std::max(latest, now);
          const Decision& decision = next.decision;
          const bool was_calm = moves.empty() || latest - moves.back() >= policy.flap_window;
          if (decision.standing.state != before.whole.state) moves.push_back(latest);
          const auto recent = std::count_if(moves.begin(), moves.end(),
                                            [&](base::Instant at) { return latest - at <= policy.flap_window; });
          RC_ASSERT((decision.began_flapping == (decision.is_flapping && !was_on)));
          if (decision.began_flapping) RC_ASSERT(static_cast<std::uint64_t>(recent) > policy.flap_transitions);
          if (was_on && !decision.is_flapping) RC_ASSERT(was_calm);
          was_on = decision.is_flapping;
        });
  }));
}

/// Trouble of the peers in any form that it takes: failures, time-outs in the latencies, retries, reconnects; ports
/// calm.
WindowInput any_peer_trouble() {
  WindowInput window = any_window();
  window.features.ppr = any_share() * 0.3;
  window.features.twr = *window.features.ppr * any_share();
  window.features.ppr_preferred = 0.3;
  window.features.port_search_time.reset();
  window.features.connects = any_counts(false);
  // Enough of them fail that it is a fault of the peers, and that failures are what the latencies show.
  window.features.pooled_connects = telemetry::ConnectCounts{100, 0, *rc::gen::inRange<std::uint32_t>(2, 101)};
  window.time_to_cliff_s = kNever;
  window.time_to_exhaustion_s = kNever;
  window.is_past_cliff = false;
  window.free_margin = 1'000;
  return window;
}

TEST(AnySequence, of_peer_failures_alone_never_goes_above_orange_and_never_touches_orders) {
  EXPECT_TRUE(rc::check("peers", [] {
    Policy policy;
    policy.modes = {Mode::kEnforce, Mode::kEnforce};
    Feed feed(policy);
    feed.windows(*rc::gen::inRange(0, 40), calm_window());
    const OrderParameters untouched = parameters_of(policy, State::kGreen, 0).order;
    const int length = *rc::gen::inRange(1, 80);
    for (int i = 0; i < length; ++i) {
      feed.take(*rc::gen::inRange(0, 10) == 0 ? Event(MissedWindow{}) : Event(any_peer_trouble()));
      RC_ASSERT(feed.last.standing.state <= State::kOrange);
      RC_ASSERT(feed.last.order_state == State::kGreen);
      RC_ASSERT(feed.last.enforced.order == untouched);
    }
  }));
}

TEST(AnySequence, comes_back_to_green_when_all_is_calm) {
  EXPECT_TRUE(rc::check("no latch", [] {
    Policy policy;
    TupleState state;
    base::Instant now = kStart;
    with_random_events([&](const TupleState&, const Event&, const Policy& with, base::Instant at, const Step& next) {
      policy = with;
      state = next.state;
      now = std::max(now, at);
    });
    const auto take = [&](const Event& event) {
      Step next = step(std::move(state), event, policy, now += kWindow);
      state = std::move(next.state);
      return next.decision;
    };
    take(Guard::kOperatorRelease);
    // At most: 60 s without a local failure, then three dwells of 7 s, doubled; the latency rows by their GREEN median.
    WindowInput calm = calm_window();
    calm.features.connect_time = calm.features.send_delay = calm.features.port_search_time = telemetry::Percentile{};
    Decision decision;
    for (int second = 0; second < 150; ++second) decision = take(calm);
    RC_ASSERT(decision.standing == Standing{});
    RC_ASSERT(!decision.has_peer_fault);
  }));
}

}  // namespace
}  // namespace tidewaiter::control
