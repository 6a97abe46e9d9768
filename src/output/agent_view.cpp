// SPDX-License-Identifier: Apache-2.0
#include "output/agent_view.h"

namespace tidewaiter::output {

std::vector<TransitionView> transitions_of(const AgentView& view) {
  std::vector<TransitionView> transitions;
  const auto add = [&](const std::optional<telemetry::Tuple>& subject, const std::optional<control::Transition>& one) {
    if (one) transitions.push_back({view.at.wall, view.window, subject, *one});
  };
  for (const control::TupleDecision& tuple : view.round->tuples) add(tuple.tuple, tuple.decision.transition);
  add(std::nullopt, view.round->host.transition);
  return transitions;
}

bool is_outdated(const AgentView& view, base::Instant now) {
  const auto allowed = static_cast<std::int64_t>(view.policy->stale_after_windows) + 1;
  return now - view.at.steady > view.observer.interval * allowed;
}

}  // namespace tidewaiter::output
