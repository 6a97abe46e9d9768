// SPDX-License-Identifier: Apache-2.0
#include "lab/loop_simulation.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "lab/clock.h"
#include "model/outlook.h"
#include "model/release_schedule.h"

namespace tidewaiter::lab {
namespace {

telemetry::ConnectCounts connects_of(const ConnectCounts& counts) {
  telemetry::ConnectCounts connects;
  connects.attempts = static_cast<std::uint32_t>(counts.attempts);
  connects.failed_local = static_cast<std::uint32_t>(counts.failed);
  return connects;
}

}  // namespace

LoopSimulation::LoopSimulation(const LoopOptions& options)
    : options_(options), ports_(options.ports), before_(ports_.sample()) {
  outlook_.granule = model::time_wait_granule(options.ports.hz);
}

void LoopSimulation::run(base::Nanoseconds duration, double offered_per_s) {
  const base::Nanoseconds end = elapsed() + duration;
  while (elapsed() < end) {
    const ConnectCounts counts = ports_.advance(options_.interval, offered_per_s, limit_per_s_);
    counts_ += counts;
    telemetry::Sample sample = ports_.sample();
    decide(sample, counts);
    before_ = std::move(sample);
  }
}

void LoopSimulation::decide(const telemetry::Sample& sample, const ConnectCounts& counts) {
  const telemetry::Tuple& tuple = options_.ports.tuple;
  const telemetry::TupleSample empty{tuple, {}, {}};
  const telemetry::TupleSample& now = sample.tuples.empty() ? empty : sample.tuples.front();
  const telemetry::TupleSample& then = before_.tuples.empty() ? empty : before_.tuples.front();
  seen_.observe(before_, sample);
  offered_.update(static_cast<double>(counts.offered), options_.interval);

  telemetry::PortFlow flow = telemetry::flow_between(then, now, options_.interval);
  telemetry::Features features;
  std::optional<double> demand;
  if (options_.sight == LoopSight::kConnects) {
    demand = offered_.per_second();
    pool_.add(sample.at.steady, connects_of(counts));
    features.connects = connects_of(counts);
    features.pooled_connects = pool_.pooled(sample.at.steady);
  } else if (const auto* seen = seen_.find(tuple)) {
    demand = seen->offered.per_second();
  }
  const auto outlook = model::outlook_of(now, sample.plan, model::demand_of(flow, demand), outlook_);
  const auto input = control::window_input(outlook, sample.plan, tuple, features);
  auto [state, decision] = control::step(std::move(state_), input, options_.policy, sample.at.steady);
  state_ = std::move(state);
  limit_per_s_ = decision.enforced.connection.connect_rate_per_s;
  if (decision.transition) {
    transitions_.push_back(
        {elapsed(), decision.transition->from.state, decision.transition->to.state, decision.transition->reasons});
  }
}

std::optional<base::Nanoseconds> fastest_cycle(const std::vector<LoopTransition>& transitions,
                                               base::Nanoseconds since) {
  std::array<std::optional<base::Nanoseconds>, control::kStates.size()> last_rise;
  std::optional<base::Nanoseconds> fastest;
  for (const LoopTransition& transition : transitions) {
    if (transition.at < since || transition.to < transition.from) continue;
    auto& last = last_rise[control::place(transition.to)];
    if (last && (!fastest || transition.at - *last < *fastest)) fastest = transition.at - *last;
    last = transition.at;
  }
  return fastest;
}

std::string history_of(const std::vector<LoopTransition>& transitions, std::size_t most) {
  std::string history = "GREEN";
  for (std::size_t i = 0; i < std::min(most, transitions.size()); ++i) {
    history += fmt::format(", {} {:.0f} s", control::name(transitions[i].to), to_seconds(transitions[i].at));
  }
  if (transitions.size() > most) history += fmt::format(", … {} more", transitions.size() - most);
  return history;
}

}  // namespace tidewaiter::lab
