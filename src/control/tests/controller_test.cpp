// SPDX-License-Identifier: Apache-2.0
#include "control/controller.h"

#include <gtest/gtest.h>
#include <vector>

#include "control/tests/feed.h"

namespace tidewaiter::control {
namespace {

telemetry::Tuple tuple(std::uint16_t port) {
  return {telemetry::Address::v4(0x0a000001), telemetry::Address::v4(0x0a000002), port};
}

WindowInput with_ppr(double ppr) {
  WindowInput window = calm_window();
  window.features.ppr = ppr;
  window.features.connects.reset();
  return window;
}

WindowInput orange_window() {
  WindowInput window = with_ppr(0.3);
  window.time_to_exhaustion_s = 10;
  return window;
}

/// A controller and its time.
class Host {
 public:
  explicit Host(Policy policy = {}) : controller(std::move(policy), kStart) {}

  const Round& window(const std::vector<TupleWindow>& windows) {
    now += kWindow;
    last = controller.window(windows, idle, now);
    return last;
  }
  const Round& windows(int count, const std::vector<TupleWindow>& each) {
    for (int i = 0; i < count; ++i) window(each);
    return last;
  }
  const Round& miss() {
    now += kWindow;
    last = controller.missed_window(now);
    return last;
  }

  Controller controller;
  WindowInput idle = idle_window(telemetry::PortPlan());
  base::Instant now = kStart;
  Round last;
};

TEST(Controller, takes_the_worst_critical_tuple_for_the_host) {
  Host host;
  host.window({{tuple(1), with_ppr(0.97)}, {tuple(2), orange_window()}, {tuple(3), with_ppr(0.1)}});
  EXPECT_EQ(host.last.host.standing.state, State::kRed);
  EXPECT_EQ(host.last.host.subject, tuple(1));
  EXPECT_EQ(host.last.host.since, host.now);
  EXPECT_TRUE(names(host.last.host.reasons, "ppr"));
  ASSERT_TRUE(host.last.host.transition);
  EXPECT_TRUE(names(host.last.host.transition->reasons, "ppr"));
  EXPECT_EQ(host.last.host.p_stress, host.last.find(tuple(1))->decision.stress->probability);
  EXPECT_EQ(host.last.find(tuple(2))->decision.standing.state, State::kOrange) << "each tuple its own";
  EXPECT_EQ(host.last.find(tuple(3))->decision.standing.state, State::kGreen);
}

TEST(Controller, names_the_first_of_equally_bad_tuples) {
  Host host;
  host.window({{tuple(7), orange_window()}, {tuple(3), orange_window()}, {tuple(5), orange_window()}});
  EXPECT_EQ(host.last.host.subject, tuple(3));
  ASSERT_EQ(host.last.tuples.size(), 3U);
  EXPECT_EQ(host.last.tuples[0].tuple, tuple(3));
  EXPECT_EQ(host.last.tuples[2].tuple, tuple(7));
}

TEST(Controller, does_not_count_tuples_that_are_not_critical) {
  Host host;
  host.window({{tuple(1), with_ppr(0.97), false}, {tuple(2), with_ppr(0.1)}});
  EXPECT_EQ(host.last.host.standing, Standing{});
  EXPECT_FALSE(host.last.host.transition);
  EXPECT_EQ(host.last.host.p_stress, host.last.find(tuple(2))->decision.stress->probability);
  EXPECT_EQ(host.last.find(tuple(1))->decision.standing.state, State::kRed);
}

TEST(Controller, prescribes_for_the_host_what_its_state_says) {
  Policy policy;
  policy.modes = {Mode::kEnforce, Mode::kEnforce};
  Host host(policy);
  host.window({{tuple(1), with_ppr(0.97)}});
  const double sustainable = host.idle.sustainable_per_s;
  EXPECT_NEAR(sustainable, 28'232 / 60.0, 1e-9);
  EXPECT_EQ(host.last.host.enforced, parameters_of(policy, State::kRed, sustainable));
  EXPECT_EQ(host.last.host.stale, stale_parameters(policy, State::kRed, sustainable));
}

TEST(Controller, does_not_tax_the_hosts_orders_for_a_peers_outage) {
  WindowInput outage = calm_window();
  outage.features.connects = outage.features.pooled_connects = {200, 0, 150};
  outage.features.burst_index = 1.0;
  Host host;
  host.window({{tuple(1), outage}});
  EXPECT_EQ(host.last.host.standing.state, State::kOrange);
  EXPECT_EQ(host.last.host.order_state, State::kGreen);
  const Parameters green = parameters_of(host.controller.policy(), State::kGreen, 0);
  const Parameters orange = parameters_of(host.controller.policy(), State::kOrange, host.idle.sustainable_per_s);
  EXPECT_EQ(host.last.host.detected.order, green.order);
  EXPECT_EQ(host.last.host.detected.connection, orange.connection);
}

TEST(Controller, lets_a_tuple_whose_sockets_vanish_step_down_by_itself) {
  Host host;
  host.window({{tuple(1), with_ppr(0.97)}});
  std::vector<State> seen{State::kRed};
  for (int second = 0; second < 61; ++second) {
    host.window({});
    const TupleDecision* decided = host.last.find(tuple(1));
    ASSERT_NE(decided, nullptr);
    EXPECT_EQ(host.last.host.standing, decided->decision.standing);
    if (decided->decision.standing.state != seen.back()) seen.push_back(decided->decision.standing.state);
  }
  EXPECT_EQ(seen, (std::vector{State::kRed, State::kOrange, State::kYellow, State::kGreen}));
  ASSERT_TRUE(host.last.host.transition);
  EXPECT_TRUE(names(host.last.host.transition->reasons, "clear_for_s")) << "the tuple's own reason";
  EXPECT_EQ(host.last.host.cause, tuple(1));
}

TEST(Controller, gives_an_idle_window_also_when_the_clock_stands_still) {
  Host host;
  host.window({{tuple(1), with_ppr(0.97)}});
  const Round round = host.controller.window({}, host.idle, host.now);
  ASSERT_NE(round.find(tuple(1)), nullptr);
  EXPECT_EQ(round.find(tuple(1))->decision.stress->probability, Feed().window(host.idle).stress->probability);
}

TEST(Controller, does_not_watch_calm_tuples) {
  Host host;
  host.window({{tuple(1), with_ppr(0.0099)}, {tuple(2), with_ppr(0.01)}, {tuple(3), calm_window()}});
  EXPECT_EQ(host.last.find(tuple(1)), nullptr);
  EXPECT_NE(host.last.find(tuple(2)), nullptr);
  EXPECT_NE(host.last.find(tuple(3)), nullptr) << "it has connect events";
  EXPECT_EQ(host.controller.watched(), 2U);
}

TEST(Controller, forgets_a_calm_tuple_after_ten_minutes) {
  for (const bool has_sockets : {false, true}) {
    Host host;
    host.window({{tuple(1), with_ppr(0.1)}});
    const std::vector<TupleWindow> quiet =
        has_sockets ? std::vector<TupleWindow>{{tuple(1), with_ppr(0.001)}} : std::vector<TupleWindow>{};
    host.windows(600, quiet);
    EXPECT_EQ(host.controller.watched(), 1U);
    host.window(quiet);
    EXPECT_EQ(host.controller.watched(), 0U);
    EXPECT_EQ(host.window(quiet).find(tuple(1)), nullptr);
  }
}

TEST(Controller, does_not_forget_a_tuple_that_an_operator_holds) {
  Host host;
  host.window({});
  static_cast<void>(host.controller.guard(tuple(1), Guard::kOperatorHold, host.now));
  host.windows(700, {});
  EXPECT_EQ(host.last.host.standing.state, State::kRed);
  static_cast<void>(host.controller.guard(tuple(1), Guard::kOperatorRelease, host.now));
  host.windows(62, {});
  EXPECT_EQ(host.controller.watched(), 0U);
}

TEST(Controller, takes_a_guard_of_a_tuple_that_it_does_not_know) {
  Host host;
  host.window({});
  host.last = host.controller.guard(tuple(9), Guard::kLocalConnectFailure, host.now);
  ASSERT_EQ(host.last.tuples.size(), 1U);
  EXPECT_EQ(host.last.tuples[0].tuple, tuple(9));
  EXPECT_EQ(host.last.tuples[0].decision.standing.state, State::kOrange);
  EXPECT_EQ(host.last.host.standing.state, State::kOrange);
  EXPECT_EQ(host.last.host.subject, tuple(9));
  EXPECT_EQ(host.last.host.transition->trigger, Trigger::kGuard);
  // Half of what a tuple without sockets sustains, not none.
  EXPECT_NEAR(*host.last.tuples[0].decision.detected.connection.connect_rate_per_s, 28'232 / 120.0, 1e-9);
  EXPECT_NE(host.window({}).find(tuple(9)), nullptr) << "it is watched from then on";
}

TEST(Controller, reports_a_transition_once) {
  Host host;
  host.window({{tuple(1), orange_window()}});
  EXPECT_TRUE(host.last.tuples[0].decision.transition);
  host.window({{tuple(1), orange_window()}});
  EXPECT_FALSE(host.last.tuples[0].decision.transition);
  EXPECT_FALSE(host.last.host.transition);
}

TEST(Controller, puts_orders_to_shadow_at_a_harm_stop_and_leaves_off_alone) {
  Policy policy;
  policy.modes = {Mode::kEnforce, Mode::kEnforce};
  Host host(policy);
  host.window({{tuple(1), with_ppr(0.97)}});
  EXPECT_EQ(host.last.tuples[0].decision.enforced.order.clip_scale, 0.70);
  host.controller.stop_harm();
  host.last = host.controller.guard(tuple(1), Guard::kOperatorRelease, host.now);
  EXPECT_EQ(host.last.tuples[0].decision.enforced.order, parameters_of(policy, State::kGreen, 0).order);
  EXPECT_EQ(host.last.host.enforced.order, parameters_of(policy, State::kGreen, 0).order);
  EXPECT_EQ(host.last.tuples[0].decision.detected.order.clip_scale, 0.70);
  EXPECT_EQ(host.last.host.enforced.connection.max_new_connects, 1U) << "hygiene goes on";
  policy.modes.order = Mode::kOff;
  Controller off(policy, kStart);
  off.stop_harm();
  EXPECT_EQ(off.policy().modes.order, Mode::kOff);
}

TEST(Controller, is_stale_also_without_any_tuple) {
  Host host;
  host.window({});
  host.miss();
  EXPECT_FALSE(host.miss().host.standing.is_stale);
  host.miss();
  EXPECT_EQ(host.last.host.standing, (Standing{State::kGreen, true}));
  EXPECT_TRUE(names(host.last.host.reasons, "missed_windows"));
  ASSERT_TRUE(host.last.host.transition);
  EXPECT_EQ(host.last.host.detected.connection,
            parameters_of(host.controller.policy(), State::kYellow, host.idle.sustainable_per_s).connection);
  EXPECT_EQ(host.last.host.enforced, host.last.host.stale);
  EXPECT_FALSE(host.miss().host.transition);

  host.window({});
  EXPECT_EQ(host.last.host.standing, Standing{});
  ASSERT_TRUE(host.last.host.transition);
  ASSERT_EQ(host.last.host.transition->reasons.size(), 1U);
  const Reason& reason = *host.last.host.transition->reasons.begin();
  EXPECT_EQ(reason.condition, "missed_windows");
  EXPECT_EQ(reason.comparison, Comparison::kBelow);
}

TEST(Controller, is_stale_with_its_tuples_and_names_no_subject) {
  Host host;
  host.window({{tuple(1), with_ppr(0.97)}});
  for (int i = 0; i < 3; ++i) host.miss();
  EXPECT_EQ(host.last.host.standing, (Standing{State::kRed, true}));
  EXPECT_FALSE(host.last.host.subject);
  EXPECT_TRUE(host.last.find(tuple(1))->decision.standing.is_stale);
  EXPECT_EQ(host.last.host.detected.order.non_urgent_flow, NonUrgentFlow::kContained) << "what RED holds stays held";
  host.window({{tuple(1), with_ppr(0.97)}});
  EXPECT_EQ(host.last.host.standing, (Standing{State::kRed, false}));
}

TEST(IdleWindow, has_all_ports_free_and_knows_no_failures) {
  const telemetry::PortPlan plan;
  const WindowInput idle = idle_window(plan);
  EXPECT_EQ(idle.features.ppr, 0);
  EXPECT_EQ(idle.free_margin, 28'232);
  EXPECT_FALSE(idle.features.connects);
  EXPECT_EQ(Feed().windows(60, idle).standing, Standing{});

  telemetry::PortSettings one;
  one.lo = one.hi = 40'000;
  telemetry::PortSet owned;
  owned.set(40'000);
  EXPECT_FALSE(idle_window(telemetry::PortPlan(one, owned)).features.ppr) << "no ratio over no ports";
}

TEST(WindowInput, has_what_an_outlook_says) {
  const telemetry::PortPlan plan;
  model::Outlook outlook;
  outlook.pressure.ppr = 0.5;
  outlook.pressure.ppr_preferred = 0.6;
  outlook.pressure.twr = 0.4;
  outlook.is_past_cliff = true;
  WindowInput window = window_input(outlook, plan, tuple(1));
  EXPECT_EQ(window.features.ppr, 0.5);
  EXPECT_EQ(window.features.ppr_preferred, 0.6);
  EXPECT_EQ(window.features.twr, 0.4);
  EXPECT_EQ(window.is_past_cliff, true);
  EXPECT_FALSE(window.time_to_cliff_s) << "no demand, no forecast";
  EXPECT_FALSE(window.time_to_exhaustion_s);
  EXPECT_FALSE(window.free_margin);
  EXPECT_NEAR(window.sustainable_per_s, 470.5, 0.1);

  outlook.demand_per_s = 10;
  outlook.forecast.emplace();
  outlook.forecast->time_to_exhaustion = base::Milliseconds(2'500);
  outlook.forecast->free_by_second.assign(61, {100, 200});
  window = window_input(outlook, plan, tuple(1));
  EXPECT_EQ(window.time_to_exhaustion_s, 2.5);
  EXPECT_EQ(window.time_to_cliff_s, kNever);
  EXPECT_EQ(window.free_margin, 0);

  telemetry::PortSettings one;
  one.lo = one.hi = 40'000;
  telemetry::PortSet owned;
  owned.set(40'000);
  EXPECT_EQ(window_input({}, telemetry::PortPlan(one, owned), tuple(1)).features.ppr, 1.0) << "every connect fails";

  telemetry::Features own;
  own.ppr = 0.9;
  EXPECT_EQ(window_input(outlook, plan, tuple(1), own).features.ppr, 0.9);

  telemetry::PortSettings reuse;
  reuse.reuse = telemetry::TimeWaitReuse::kAlways;
  EXPECT_NEAR(window_input(outlook, telemetry::PortPlan(reuse, {}), tuple(1)).sustainable_per_s, 28'232, 1)
      << "ports come back after a second";
}

}  // namespace
}  // namespace tidewaiter::control
