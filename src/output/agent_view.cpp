// SPDX-License-Identifier: Apache-2.0
#include "output/agent_view.h"

namespace tidewaiter::output {

std::vector<TransitionView> transitions_of(const AgentView& view) {
  std::vector<TransitionView> transitions;
  for (const control::TupleDecision& tuple : view.round->tuples) {
    const auto& transition = tuple.decision.transition;
    if (transition) transitions.push_back({view.at.wall, view.window, tuple.tuple, tuple.tuple, *transition});
  }
  const control::HostDecision& host = view.round->host;
  if (host.transition) transitions.push_back({view.at.wall, view.window, std::nullopt, host.cause, *host.transition});
  return transitions;
}

bool is_outdated(const AgentView& view, base::Instant now) {
  const auto allowed = static_cast<std::int64_t>(view.policy->stale_after_windows) + 1;
  return now - view.at.steady > view.observer.interval * allowed;
}

}  // namespace tidewaiter::output
