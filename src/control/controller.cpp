// SPDX-License-Identifier: Apache-2.0
#include "control/controller.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace tidewaiter::control {
namespace {

constexpr double kWorthWatching = 0.01;  // share of the ports in use
constexpr base::Nanoseconds kForgetAfter = base::Seconds(600);

bool is_worth_watching(const WindowInput& input) {
  const auto& connects = input.features.connects;
  return (connects && connects->attempts > 0) || input.features.ppr.value_or(1.0) >= kWorthWatching;
}

bool is_calm(const TupleState& state) {
  return state.whole.state == State::kGreen && !state.has_peer_fault && !state.flap.is_on() && !state.is_held;
}

}  // namespace

const TupleDecision* Round::find(const telemetry::Tuple& tuple) const {
  const auto place =
      std::lower_bound(tuples.begin(), tuples.end(), tuple,
                       [](const TupleDecision& entry, const telemetry::Tuple& key) { return entry.tuple < key; });
  return place != tuples.end() && place->tuple == tuple ? &*place : nullptr;
}

Controller::Controller(Policy policy, base::Instant start)
    : policy_(std::move(policy)), start_(start), host_since_(start) {}

Controller::Watched& Controller::watch(const telemetry::Tuple& tuple, base::Instant now) {
  const auto [place, is_new] = tuples_.try_emplace(tuple);
  if (is_new) {
    place->second.state.whole.since = place->second.state.orders.since = start_;
    place->second.state.last_input.sustainable_per_s = sustainable_per_s_;
    place->second.last_busy = now;
  }
  return place->second;
}

TupleDecision Controller::decide(const telemetry::Tuple& tuple, Watched& watched, const Event& event,
                                 base::Instant now) {
  auto [state, decision] = step(std::move(watched.state), event, policy_, now);
  watched.state = std::move(state);
  watched.last = decision;
  watched.last.transition.reset();
  watched.last.began_flapping = false;
  return {tuple, watched.is_critical, watched.state.last_input.features, decision};
}

Round Controller::window(std::span<const TupleWindow> windows, const WindowInput& idle, base::Instant now) {
  ++round_;
  missed_windows_ = 0;
  sustainable_per_s_ = idle.sustainable_per_s;
  std::vector<TupleDecision> decisions;
  decisions.reserve(windows.size());
  for (const TupleWindow& window : windows) {
    const bool is_busy = is_worth_watching(window.input);
    if (!is_busy && tuples_.find(window.tuple) == tuples_.end()) continue;
    Watched& watched = watch(window.tuple, now);
    watched.is_critical = window.is_critical;
    watched.round = round_;
    if (is_busy) watched.last_busy = now;
    decisions.push_back(decide(window.tuple, watched, window.input, now));
  }
  if (decisions.size() < tuples_.size()) {
    for (auto& [tuple, watched] : tuples_) {
      if (watched.round == round_) continue;
      decisions.push_back(decide(tuple, watched, idle, now));
    }
  }
  Round round = conclude(std::move(decisions), false, Trigger::kWindow, now);
  forget_idle(now);
  return round;
}

Round Controller::missed_window(base::Instant now) {
  ++missed_windows_;
  std::vector<TupleDecision> decisions;
  decisions.reserve(tuples_.size());
  for (auto& [tuple, watched] : tuples_) {
    decisions.push_back(decide(tuple, watched, MissedWindow{}, now));
  }
  return conclude(std::move(decisions), missed_windows_ >= policy_.stale_after_windows, Trigger::kMissedWindow, now);
}

Round Controller::guard(const telemetry::Tuple& tuple, Guard guard, base::Instant now) {
  Watched& watched = watch(tuple, now);
  std::vector<TupleDecision> decisions{decide(tuple, watched, guard, now)};
  return conclude(std::move(decisions), host_.is_stale, Trigger::kGuard, now);
}

void Controller::stop_harm() { policy_.modes.order = std::min(policy_.modes.order, Mode::kShadow); }

const Controller::Watched* Controller::find_worst(HostDecision& host) const {
  const Watched* worst = nullptr;
  for (const auto& [tuple, watched] : tuples_) {
    if (!watched.is_critical) continue;
    if (watched.last.stress) {
      host.p_stress = std::max(host.p_stress.value_or(0), watched.last.stress->probability);
    }
    host.order_state = std::max(host.order_state, watched.last.order_state);
    const State state = watched.last.standing.state;
    if (state == State::kGreen) continue;
    const State highest = worst == nullptr ? State::kGreen : worst->last.standing.state;
    if (state < highest || (state == highest && !(tuple < *host.subject))) continue;
    worst = &watched;
    host.subject = tuple;
  }
  return worst;
}

Reason Controller::missed() const {
  const auto limit = static_cast<double>(policy_.stale_after_windows);
  const auto missed = static_cast<double>(missed_windows_);
  return {"missed_windows", missed < limit ? Comparison::kBelow : Comparison::kAtLeast, missed, limit};
}

/// The host moves because a tuple does: its transition has that tuple's reasons.
void Controller::explain(const std::vector<TupleDecision>& decisions, Trigger trigger, HostDecision& host) const {
  Transition transition{host_, host.standing, trigger, {}};
  if (host_.is_stale != host.standing.is_stale) {
    transition.reasons.add(missed());
  } else {
    for (const TupleDecision& tuple : decisions) {
      const auto& own = tuple.decision.transition;
      const bool is_it = own && tuple.is_critical && own->from.state == host_.state && own->to == host.standing;
      if (!is_it && !(own && host.subject == tuple.tuple)) continue;
      transition.reasons = own->reasons;
      host.cause = tuple.tuple;
      break;
    }
  }
  if (transition.reasons.empty()) {  // the worst tuple is not critical any more, or was forgotten
    host.cause = host.subject;
    transition.reasons.add({"worst_critical_tuple", Comparison::kBelow, static_cast<double>(place(host.standing.state)),
                            static_cast<double>(place(host_.state))});
  }
  host.transition = transition;
}

Round Controller::conclude(std::vector<TupleDecision> decisions, bool is_stale, Trigger trigger, base::Instant now) {
  Round round;
  std::sort(decisions.begin(), decisions.end(),
            [](const auto& left, const auto& right) { return left.tuple < right.tuple; });
  HostDecision& host = round.host;
  const Watched* worst = find_worst(host);
  host.standing = {worst == nullptr ? State::kGreen : worst->last.standing.state, is_stale};
  if (worst != nullptr) host.reasons = worst->last.reasons;
  if (is_stale) {
    host.subject.reset();
    host.reasons = {};
    host.reasons.add(missed());
  }
  if (host.standing != host_) {
    explain(decisions, trigger, host);
    host_since_ = now;
    host_ = host.standing;
  }
  host.since = host_since_;
  host.stale = stale_parameters(policy_, host_.state, sustainable_per_s_);
  host.detected = parameters_of(policy_, host_.state, sustainable_per_s_);
  host.detected.order = parameters_of(policy_, host.order_state, sustainable_per_s_).order;
  if (is_stale) host.detected = host.stale;
  host.enforced = enforced_of(policy_, policy_.modes, host.detected);
  host.stale = enforced_of(policy_, policy_.modes, host.stale);
  round.tuples = std::move(decisions);
  return round;
}

void Controller::forget_idle(base::Instant now) {
  for (auto watched = tuples_.begin(); watched != tuples_.end();) {
    const bool is_idle = now - watched->second.last_busy > kForgetAfter && is_calm(watched->second.state);
    watched = is_idle ? tuples_.erase(watched) : std::next(watched);
  }
}

WindowInput idle_window(const telemetry::PortPlan& plan) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  WindowInput window;
  window.sustainable_per_s = model::sustainable_per_s(plan.capacity());
  if (plan.capacity() == 0) return window;
  window.features.ppr = 0;
  window.features.twr = 0;
  if (plan.preferred_capacity() > 0) window.features.ppr_preferred = 0;
  window.is_past_cliff = false;
  window.time_to_cliff_s = kNever;
  window.time_to_exhaustion_s = kNever;
  window.free_margin = plan.capacity();
  return window;
}

}  // namespace tidewaiter::control
