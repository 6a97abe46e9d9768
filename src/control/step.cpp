// SPDX-License-Identifier: Apache-2.0
#include "control/step.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "control/signals.h"

namespace tidewaiter::control {
namespace {

using Rows = std::bitset<kMostConditions>;

constexpr double kFreeAhead = 30;  // s, of the free margin

double seconds(base::Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

bool compares(Comparison comparison, double value, double threshold) {
  return comparison == Comparison::kAtLeast ? value >= threshold : value < threshold;
}

/// Which rows of the policy fire (beyond enter) and which hold (not yet beyond leave) at one step. A row of a group
/// counts only when enough of its group do.
struct Evaluation {
  Rows fires;
  Rows holds;
  Rows off;
  std::array<Rows, 4> of_effect;  ///< the rows of each effect
  Rows peers_explain;
  Signals signals;
};

Evaluation evaluate(const TupleState& state, const Policy& policy, base::Instant now) {
  Evaluation result;
  result.signals = signals_of(state, policy, now);
  Rows burst;
  for (std::size_t row = 0; row < policy.conditions.size(); ++row) {
    const Condition& condition = policy.conditions[row];
    result.of_effect[static_cast<std::size_t>(condition.effect)].set(row);
    result.peers_explain[row] = condition.peers_explain;
    burst[row] = condition.group == Group::kBurst;
    const auto& value = result.signals[condition.signal];
    if (!value) {
      result.off.set(row);
      continue;
    }
    const bool is_rising =
        condition.signal == Signal::kTwr ? result.signals.is_twr_rising : result.signals.is_ppr_rising;
    if (condition.only_rising && !is_rising) continue;
    result.fires[row] = condition.enter && compares(condition.comparison, *value, *condition.enter);
    result.holds[row] = result.fires[row] || compares(condition.comparison, *value, condition.leave);
  }
  if ((result.fires & burst).count() < policy.burst_quorum) result.fires &= ~burst;
  if ((result.holds & burst).count() < policy.burst_quorum) result.holds &= ~burst;
  return result;
}

constexpr Effect effect_of(State state) { return static_cast<Effect>(place(state) - 1); }

void add_reasons(const Policy& policy, const Evaluation& evaluation, const Rows& rows, Effect effect,
                 Reasons& reasons) {
  for (std::size_t row = 0; row < policy.conditions.size(); ++row) {
    const Condition& condition = policy.conditions[row];
    if (!rows[row] || condition.effect != effect) continue;
    const double threshold = evaluation.fires[row] ? *condition.enter : condition.leave;
    reasons.add({condition.name, condition.comparison, *evaluation.signals[condition.signal], threshold});
  }
}

/// Every row that fires, those that ask for most first.
Reasons firing(const Policy& policy, const Evaluation& evaluation) {
  Reasons reasons;
  for (const State state : {State::kRed, State::kOrange, State::kYellow}) {
    add_reasons(policy, evaluation, evaluation.fires, effect_of(state), reasons);
  }
  return reasons;
}

/// One step's work on a state: what moves, and the transition that comes of it.
class Move {
 public:
  Move(TupleState& state, const Policy& policy, base::Instant now, Trigger trigger)
      : state_(state),
        policy_(policy),
        now_(now),
        trigger_(trigger),
        from_{state.whole.state, state.is_stale},
        evaluation_(evaluate(state, policy, now)) {}

  void miss() {
    ++state_.missed_windows;
    if (state_.is_stale || state_.missed_windows < policy_.stale_after_windows) return;
    state_.is_stale = true;
    state_.stale_since = now_;
    state_.whole.clear_since.reset();
    state_.orders.clear_since.reset();
    Reasons reasons;
    reasons.add(missed_windows(Comparison::kAtLeast));
    record(reasons);
  }

  void resume() {
    if (!std::exchange(state_.is_stale, false)) return;
    Reasons reasons;
    reasons.add(missed_windows(Comparison::kBelow));
    record(reasons);
  }

  void rise() {
    if (raise(state_.whole, evaluation_.fires)) {
      note(FlapGuard::Direction::kUp);
      record(firing(policy_, evaluation_));
    }
    raise(state_.orders, of_orders(evaluation_.fires));
  }

  void sink() {
    lower(state_.orders, of_orders(evaluation_.holds));
    const auto calm = lower(state_.whole, evaluation_.holds);
    if (!calm) return;
    note(FlapGuard::Direction::kDown);
    Reasons reasons;
    reasons.add(*calm);
    record(reasons);
  }

  void follow_peer() {
    if (any(evaluation_.fires, Effect::kPeerFault)) state_.has_peer_fault = true;
    if (!state_.has_peer_fault) return;
    if (any(evaluation_.holds, Effect::kPeerFault)) {
      state_.peer_clear_since.reset();
      return;
    }
    if (!state_.peer_clear_since) state_.peer_clear_since = now_;
    if (now_ - *state_.peer_clear_since < policy_.peer_fault_dwell) return;
    state_.has_peer_fault = false;
    state_.peer_clear_since.reset();
  }

  [[nodiscard]] Decision decision() const {
    Decision decision;
    decision.standing = {state_.whole.state, state_.is_stale};
    decision.since = state_.is_stale ? state_.stale_since : state_.whole.since;
    decision.has_peer_fault = state_.has_peer_fault;
    decision.order_state = state_.orders.state;
    decision.stress = evaluation_.signals.stress;
    decision.reasons = present_reasons();
    decision.transition = transition_;
    decision.off = evaluation_.off;
    decision.is_flapping = state_.flap.is_on();
    decision.began_flapping = began_flapping_;
    prescribe(decision);
    return decision;
  }

 private:
  [[nodiscard]] base::Nanoseconds dwell(State state) const {
    return policy_.minimum_dwell[place(state)] * state_.flap.dwell_factor();
  }

  [[nodiscard]] bool any(const Rows& rows, Effect effect) const {
    return (rows & evaluation_.of_effect[static_cast<std::size_t>(effect)]).any();
  }

  /// Those of `rows` that count for the order group.
  [[nodiscard]] Rows of_orders(const Rows& rows) const {
    return is_peers_doing(state_) ? rows & ~evaluation_.peers_explain : rows;
  }

  /// Up at once, to the highest state that a row of `fires` asks for. True when that is a higher one.
  bool raise(Level& level, const Rows& fires) const {
    State target = State::kRed;
    while (target != State::kGreen && !any(fires, effect_of(target))) target = calmer(target);
    if (target == State::kGreen || target < level.state) return false;
    level.clear_since.reset();
    if (target == level.state) return false;
    level = {target, now_, std::nullopt};
    return true;
  }

  /// Down by one state, once no row of `holds` has held this one for its dwell time. Why, when it went down.
  std::optional<Reason> lower(Level& level, const Rows& holds) const {
    if (level.state == State::kGreen) return std::nullopt;
    if (any(holds, effect_of(level.state))) {
      level.clear_since.reset();
      return std::nullopt;
    }
    if (!level.clear_since) level.clear_since = now_;
    const base::Nanoseconds calm = now_ - *level.clear_since;
    const base::Nanoseconds needed = dwell(level.state);
    if (calm < needed) return std::nullopt;
    level = {calmer(level.state), now_, std::nullopt};
    if (level.state != State::kGreen && !any(holds, effect_of(level.state))) level.clear_since = now_;
    return Reason{"clear_for_s", Comparison::kAtLeast, seconds(calm), seconds(needed)};
  }

  [[nodiscard]] Reason missed_windows(Comparison comparison) const {
    return {"missed_windows", comparison, static_cast<double>(state_.missed_windows),
            static_cast<double>(policy_.stale_after_windows)};
  }

  void note(FlapGuard::Direction direction) {
    began_flapping_ = state_.flap.note(direction, now_, policy_.flap_transitions, policy_.flap_window);
  }

  /// The reasons of what happened last stand first: a rise out of STALE is explained by both.
  void record(const Reasons& reasons) {
    Reasons all = reasons;
    if (transition_) {
      for (const Reason& earlier : transition_->reasons) all.add(earlier);
    }
    transition_ = Transition{from_, {state_.whole.state, state_.is_stale}, trigger_, all};
  }

  [[nodiscard]] Reasons present_reasons() const {
    Reasons reasons;
    if (state_.is_stale) {
      reasons.add(missed_windows(Comparison::kAtLeast));
      return reasons;
    }
    const Level& level = state_.whole;
    if (level.state != State::kGreen) {
      add_reasons(policy_, evaluation_, evaluation_.holds, effect_of(level.state), reasons);
      if (reasons.empty()) {
        const auto calm = now_ - level.clear_since.value_or(now_);
        reasons.add({"clear_for_s", Comparison::kBelow, seconds(calm), seconds(dwell(level.state))});
      }
    }
    if (state_.has_peer_fault) add_reasons(policy_, evaluation_, evaluation_.holds, Effect::kPeerFault, reasons);
    return reasons;
  }

  void prescribe(Decision& decision) const {
    const double sustainable = state_.last_input.sustainable_per_s;
    decision.stale = stale_parameters(policy_, state_.whole.state, sustainable);
    decision.detected = decision.stale;
    if (!state_.is_stale) {
      decision.detected = parameters_of(policy_, state_.whole.state, sustainable);
      decision.detected.order = parameters_of(policy_, decision.order_state, sustainable).order;
    }
    if (state_.has_peer_fault) {
      const auto& paced = policy_.parameters[place(State::kYellow)].parameters.connection;
      ConnectionParameters retries = decision.detected.connection;
      retries.retry_rate_per_s = paced.retry_rate_per_s;
      retries.retry_burst = paced.retry_burst;
      decision.detected.connection = stricter(decision.detected.connection, retries);
    }
    decision.enforced = enforced_of(policy_, policy_.modes, decision.detected);
    decision.stale = enforced_of(policy_, policy_.modes, decision.stale);
  }

  TupleState& state_;
  const Policy& policy_;
  base::Instant now_;
  Trigger trigger_;
  Standing from_;
  Evaluation evaluation_;
  std::optional<Transition> transition_;
  bool began_flapping_ = false;
};

void take(TupleState& state, Guard guard, base::Instant now) {
  switch (guard) {
    case Guard::kLocalConnectFailure:
      state.guard_failure = true;
      state.last_local_failure = now;
      return;
    case Guard::kOperatorHold:
      state.is_held = true;
      return;
    case Guard::kOperatorRelease:
      state.is_held = false;
      return;
  }
}

Decision on_window(TupleState& state, const WindowInput& window, const Policy& policy, base::Instant now) {
  remember(state, window, policy, now);
  state.flap.calm(now, policy.flap_window);
  Move move(state, policy, now, Trigger::kWindow);
  move.follow_peer();
  move.resume();
  move.rise();
  move.sink();
  return move.decision();
}

}  // namespace

std::string_view name(Trigger trigger) {
  switch (trigger) {
    case Trigger::kWindow:
      return "window";
    case Trigger::kGuard:
      return "guard";
    case Trigger::kMissedWindow:
      return "missed_window";
  }
  return "";
}

WindowInput window_input(const model::Outlook& outlook, const telemetry::PortPlan& plan, const telemetry::Tuple& tuple,
                         const telemetry::Features& features) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  WindowInput window;
  window.features = features;
  if (!features.ppr) window.features.ppr = outlook.pressure.ppr;
  // A range without a usable port has no ratio, and none is free: every connect fails.
  if (plan.capacity() == 0) window.features.ppr = 1.0;
  if (!features.ppr_preferred) window.features.ppr_preferred = outlook.pressure.ppr_preferred;
  if (!features.twr) window.features.twr = outlook.pressure.twr;
  window.is_past_cliff = outlook.is_past_cliff;
  if (outlook.forecast) {
    const auto& forecast = *outlook.forecast;
    window.time_to_cliff_s = forecast.time_to_cliff ? seconds(*forecast.time_to_cliff) : kNever;
    window.time_to_exhaustion_s = forecast.time_to_exhaustion ? seconds(*forecast.time_to_exhaustion) : kNever;
    const auto ahead = static_cast<std::size_t>(kFreeAhead);
    if (forecast.free_by_second.size() > ahead && outlook.demand_per_s) {
      window.free_margin = forecast.free_by_second[ahead].total() - kFreeAhead * *outlook.demand_per_s;
    }
  }
  window.sustainable_per_s = model::sustainable_per_s(plan.capacity());
  if (plan.is_reuse_allowed(tuple.source, tuple.destination)) {
    window.sustainable_per_s = plan.capacity() / (std::max(1U, plan.settings().reuse_delay_ms) / 1000.0);
  }
  return window;
}

Step step(TupleState state, const Event& event, const Policy& policy, base::Instant now) {
  state.latest = now = std::max(now, state.latest);
  Step result;
  if (const auto* window = std::get_if<WindowInput>(&event)) {
    result.decision = on_window(state, *window, policy, now);
  } else if (const auto* guard = std::get_if<Guard>(&event)) {
    take(state, *guard, now);
    Move move(state, policy, now, Trigger::kGuard);
    move.rise();
    result.decision = move.decision();
  } else {
    Move move(state, policy, now, Trigger::kMissedWindow);
    move.miss();
    result.decision = move.decision();
  }
  result.state = std::move(state);
  return result;
}

}  // namespace tidewaiter::control
