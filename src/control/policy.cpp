// SPDX-License-Identifier: Apache-2.0
#include "control/policy.h"

#include <fmt/format.h>
#include <utility>

namespace tidewaiter::control {
namespace {

constexpr std::string_view kConnectEvents = "connect events (tier 1 or 2)";
constexpr std::string_view kOrderEvents = "order events (tier 2)";
constexpr std::string_view kRetryEvents = "retry events (tier 1 or 2)";

constexpr auto kAtLeast = Comparison::kAtLeast;
constexpr auto kBelow = Comparison::kBelow;

Condition only_rising(Condition condition) {
  condition.only_rising = true;
  return condition;
}

Condition of_burst(Condition condition) {
  condition.group = Group::kBurst;
  condition.peers_explain = true;
  return condition;
}

Condition peers_explain(Condition condition) {
  condition.peers_explain = true;
  return condition;
}

Condition needs(std::string_view source, Condition condition) {
  condition.needs = source;
  return condition;
}

std::string key_of(const Condition& condition) {
  return fmt::format("control.{}.{}", name(condition.effect), condition.name);
}

void add_thresholds(Condition& condition, std::vector<base::Setting>& settings) {
  const std::string key = key_of(condition);
  const double largest = condition.unit == "ratio" ? 1.0 : 1e6;
  if (condition.enter) {
    settings.push_back({key, std::string(condition.unit),
                        fmt::format("{} ({} it enters).", condition.purpose, sign(condition.comparison)),
                        base::Setting::Real{&*condition.enter, 0, largest}});
  }
  settings.push_back({key + "_leave", std::string(condition.unit),
                      fmt::format("Clear when no longer {} this.", sign(condition.comparison)),
                      base::Setting::Real{&condition.leave, 0, largest}});
}

void add_actions(const std::string& table, StateParameters& row, std::vector<base::Setting>& settings) {
  OrderParameters& order = row.parameters.order;
  ConnectionParameters& connection = row.parameters.connection;
  settings.push_back(
      {table + ".clip_scale", "fraction", "Child size.", base::Setting::Real{&order.clip_scale, 0.01, 1}});
  settings.push_back({table + ".launch_jitter_max", "", "Full jitter of launches that need a new connection.",
                      base::Setting::Duration{&order.launch_jitter_max, base::Nanoseconds(0), base::Seconds(10)}});
  settings.push_back({table + ".max_new_connects", "connects", "In flight per destination.",
                      base::Setting::Whole{&connection.max_new_connects, 1, 100'000}});
  settings.push_back({table + ".non_urgent_flow", "", "What becomes of flow that can wait.",
                      base::Setting::choice(order.non_urgent_flow, {"send", "send_capped", "contained"})});
  settings.push_back({table + ".urgency_override", "", "What raising an order's urgency takes.",
                      base::Setting::choice(order.urgency_override, {"free", "logged", "approval"})});
  settings.push_back(
      {table + ".pool_reuse", "", "Which connection of a pool is taken.",
       base::Setting::choice(connection.pool_reuse, {"prefer", "keep_alive", "warm_preferred", "warm_only"})});
  settings.push_back({table + ".optional_reconnects", "", "Reconnects that nothing waits for.",
                      base::Setting::choice(connection.optional_reconnects, {"yes", "paced", "paused", "frozen"})});
  if (order.catch_up_cap) {
    settings.push_back({table + ".catch_up_cap", "multiple", "Of the scheduled rate.",
                        base::Setting::Real{&*order.catch_up_cap, 1, 100}});
  }
  if (connection.retry_rate_per_s) {
    settings.push_back({table + ".retry_rate", "1/s", "Retry tokens per destination.",
                        base::Setting::Real{&*connection.retry_rate_per_s, 0, 1e6}});
  }
  if (connection.retry_burst) {
    settings.push_back({table + ".retry_burst", "retries", "Retry tokens that can be saved up.",
                        base::Setting::Real{&*connection.retry_burst, 1, 1e6}});
  }
  if (row.connect_rate_share) {
    settings.push_back({table + ".connect_rate_share", "ratio", "New connects per second over what is sustainable.",
                        base::Setting::Real{&*row.connect_rate_share, 0.001, 1}});
  }
}

}  // namespace

std::string_view name(Effect effect) {
  constexpr std::array<std::string_view, 4> kNames = {"yellow", "orange", "red", "peer_fault"};
  return kNames[static_cast<std::size_t>(effect)];
}

std::string_view sign(Comparison comparison) { return comparison == kAtLeast ? ">=" : "<"; }

std::vector<Condition> default_conditions() {
  using enum Signal;
  const auto yellow = Effect::kYellow;
  const auto orange = Effect::kOrange;
  const auto red = Effect::kRed;
  return {{"p_stress", yellow, kStress, kAtLeast, 0.30, 0.20, "ratio", "P(port stress)"},
          {"ppr_preferred", yellow, kPprPreferred, kAtLeast, 0.70, 0.65, "ratio", "Preferred-parity use"},
          {"time_to_cliff", yellow, kTimeToCliff, kBelow, 60, 70, "s", "Time to cliff"},
          {"past_cliff", yellow, kPastCliffWindows, kAtLeast, 2, 1, "windows", "Past the cliff, in a row"},
          only_rising({"ppr", yellow, kPpr, kAtLeast, 0.40, 0.35, "ratio", "Port pressure ratio while it rises"}),
          only_rising({"twr", yellow, kTwr, kAtLeast, 0.40, 0.35, "ratio", "TIME_WAIT ratio while it rises"}),
          peers_explain(
              needs(kConnectEvents, {"ctl95", yellow, kConnectTimeRatio, kAtLeast, 3, 2, "GREEN medians", "CTL95"})),
          {"p_stress", orange, kStress, kAtLeast, 0.60, 0.45, "ratio", "P(port stress)"},
          of_burst(needs(kConnectEvents, {"cfr", orange, kFailureRate, kAtLeast, 0.02, 0.01, "ratio",
                                          "Burst: connect failure rate, all causes"})),
          of_burst(needs(kRetryEvents,
                         {"rbi", orange, kBurstIndex, kAtLeast, 0.40, 0.30, "ratio", "Burst: retry burst index"})),
          of_burst(needs(kOrderEvents, {"dsd95", orange, kSendDelayRatio, kAtLeast, 3, 2, "GREEN medians",
                                        "Burst: decision to send, net of the gate"})),
          {"time_to_exhaustion", orange, kTimeToExhaustion, kBelow, 30, 58, "s", "Time to exhaustion"},
          needs(kConnectEvents, {"local_failures", orange, kLocalFailures, kAtLeast, 1, 1, "connects",
                                 "Connects of a window that failed for reasons of this host"}),
          {"p_stress", red, kStress, kAtLeast, 0.85, 0.65, "ratio", "P(port stress)"},
          needs(kConnectEvents, {"local_failure_windows", red, kLocalFailureWindows, kAtLeast, 3, 1, "windows",
                                 "Of the last 5 windows, those with a local failure"}),
          needs(kConnectEvents,
                {"cfr_local", red, kLocalFailureRate, kAtLeast, 0.20, 0.10, "ratio", "Local connect failure rate"}),
          {"ppr", red, kPpr, kAtLeast, 0.95, 0.90, "ratio", "Port pressure ratio"},
          peers_explain(needs(kConnectEvents, {"tail_blowout", red, kBlowoutWindows, kAtLeast, 5, 1, "windows",
                                               "Windows in a row, at least ORANGE, with CTL95 or DSD95 blown out"})),
          {"operator_hold", red, kOperatorHold, kAtLeast, 1, 1, "holds", "An operator holds the destination"},
          needs(kConnectEvents, {"since_local_failure", red, kSinceLocalFailure, kBelow, std::nullopt, 30, "s",
                                 "Since the last local failure"}),
          {"free_margin", red, kFreeMargin, kBelow, std::nullopt, 1, "ports", "free(30 s) − demand · 30 s"},
          needs(kConnectEvents, {"cfr_peer", Effect::kPeerFault, kPeerFailureRate, kAtLeast, 0.02, 0.01, "ratio",
                                 "Connects that the peer or the way to it failed"})};
}

std::array<StateParameters, kStates.size()> default_parameters() {
  StateParameters green;
  StateParameters yellow{{{0.875, base::Milliseconds(25), 2.0, NonUrgentFlow::kSend, UrgencyOverride::kFree},
                          {5.0, 5.0, 16, std::nullopt, PoolReuse::kKeepAlive, OptionalReconnects::kPaced}},
                         0.80};
  StateParameters orange{{{0.85, base::Milliseconds(50), 1.2, NonUrgentFlow::kSendCapped, UrgencyOverride::kLogged},
                          {2.0, 3.0, 4, std::nullopt, PoolReuse::kWarmPreferred, OptionalReconnects::kPaused}},
                         0.50};
  StateParameters red{{{0.70, base::Milliseconds(100), 1.0, NonUrgentFlow::kContained, UrgencyOverride::kApproval},
                       {0.5, 1.0, 1, std::nullopt, PoolReuse::kWarmOnly, OptionalReconnects::kFrozen}},
                      0.10};
  return {green, yellow, orange, red};
}

std::vector<base::Setting> settings_of(Policy& policy) {
  std::vector<base::Setting> settings{
      {"control.connection_mode", "", "Who acts on the connection group: retries, connects, pools, reconnects.",
       base::Setting::choice(policy.modes.connection, {"off", "shadow", "enforce"})},
      // Enforcing needs the judge's verdict, which no file can declare by itself.
      {"control.order_mode", "",
       "Who acts on the order group: clips, jitter, catch-up, containment, urgency. Enforcing it needs the judge's "
       "verdict, "
       "which a file cannot declare.",
       base::Setting::choice(policy.modes.order, {"off", "shadow"})},
      {"control.enough_attempts", "attempts",
       "Attempts below which failure rates are judged by a one-sided 95 % Wilson bound, and latencies not at all.",
       base::Setting::Whole{&policy.enough_attempts, 1, 10'000}},
      {"control.stale_after_windows", "windows", "Missed windows after which the state is STALE.",
       base::Setting::Whole{&policy.stale_after_windows, 1, 60}},
      {"control.burst_quorum", "conditions", "How many of cfr, rbi and dsd95 make a burst.",
       base::Setting::Whole{&policy.burst_quorum, 1, 3}},
      {"control.blowout_ratio", "GREEN medians", "CTL95 or DSD95 above this is a tail blow-out.",
       base::Setting::Real{&policy.blowout_ratio, 1, 1000}},
      {"control.search_cliff_ratio", "GREEN medians", "A measured port search (p95) above this is past the cliff.",
       base::Setting::Real{&policy.search_cliff_ratio, 1, 1000}},
      {"control.flap_transitions", "transitions", "More than this many within flap_window double the dwell times.",
       base::Setting::Whole{&policy.flap_transitions, 1, 1000}},
      {"control.flap_window", "", "The time over which transitions are counted, and that must be calm again.",
       base::Setting::Duration{&policy.flap_window, base::Seconds(10), base::Seconds(86'400)}},
      {"control.prior_connect_time", "us", "GREEN median of CTL95 before any learning.",
       base::Setting::Real{&policy.prior_connect_time_us, 1, 1e7}},
      {"control.prior_send_delay", "us", "GREEN median of DSD95 before any learning.",
       base::Setting::Real{&policy.prior_send_delay_us, 1, 1e7}},
      {"control.prior_port_search", "us", "GREEN median of the port search (p95) before any learning.",
       base::Setting::Real{&policy.prior_port_search_us, 0.1, 1e6}},
  };
  for (const State state : {State::kYellow, State::kOrange, State::kRed}) {
    const Effect effect = static_cast<Effect>(place(state) - 1);
    const std::string table = fmt::format("control.{}", name(effect));
    settings.push_back(
        {table + ".minimum_dwell", "", "Every condition must be clear for this long to step down.",
         base::Setting::Duration{&policy.minimum_dwell[place(state)], base::Seconds(1), base::Seconds(3600)}});
    for (Condition& condition : policy.conditions) {
      if (condition.effect == effect && condition.signal != Signal::kOperatorHold) add_thresholds(condition, settings);
    }
    add_actions(table, policy.parameters[place(state)], settings);
  }
  settings.push_back({"control.peer_fault.minimum_dwell", "", "The condition must be clear for this long.",
                      base::Setting::Duration{&policy.peer_fault_dwell, base::Seconds(1), base::Seconds(3600)}});
  for (Condition& condition : policy.conditions) {
    if (condition.effect == Effect::kPeerFault) add_thresholds(condition, settings);
  }
  return settings;
}

base::Result<void> check(const Policy& policy) {
  if (policy.conditions.size() > kMostConditions) {
    return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("{} conditions", policy.conditions.size()),
                      fmt::format("a policy has at most {}", kMostConditions));
  }
  for (const Condition& condition : policy.conditions) {
    const auto key = key_of(condition);
    const bool is_high = condition.comparison == kAtLeast;
    if (is_high && condition.leave <= 0) {
      return base::fail(base::ErrorCode::kInvalidArgument,
                        fmt::format("{}_leave = {}: the condition would never clear", key, condition.leave),
                        fmt::format("{}_leave must be above 0", key));
    }
    if (!condition.enter) continue;
    if (is_high ? condition.leave <= *condition.enter : condition.leave >= *condition.enter) continue;
    return base::fail(
        base::ErrorCode::kInvalidArgument,
        fmt::format("{} = {} and {}_leave = {} contradict each other", key, *condition.enter, key, condition.leave),
        fmt::format("{}_leave must be at {} {}", key, is_high ? "most" : "least", *condition.enter));
  }
  return {};
}

Parameters parameters_of(const Policy& policy, State state, double sustainable_per_s) {
  const StateParameters& row = policy.parameters[place(state)];
  Parameters parameters = row.parameters;
  if (row.connect_rate_share && sustainable_per_s > 0)
    parameters.connection.connect_rate_per_s = *row.connect_rate_share * sustainable_per_s;
  return parameters;
}

Parameters stale_parameters(const Policy& policy, State last, double sustainable_per_s) {
  const Parameters before = parameters_of(policy, last, sustainable_per_s);
  Parameters parameters = parameters_of(policy, State::kGreen, sustainable_per_s);
  parameters.connection =
      stricter(before.connection, parameters_of(policy, State::kYellow, sustainable_per_s).connection);
  if (last == State::kRed) {
    parameters.order.non_urgent_flow = before.order.non_urgent_flow;
    parameters.order.urgency_override = before.order.urgency_override;
  }
  return parameters;
}

Parameters enforced_of(const Policy& policy, const Modes& modes, const Parameters& detected) {
  Parameters enforced = parameters_of(policy, State::kGreen, 0);
  if (modes.order == Mode::kEnforce) enforced.order = detected.order;
  if (modes.connection == Mode::kEnforce) enforced.connection = detected.connection;
  return enforced;
}

}  // namespace tidewaiter::control
