// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "control/controller.h"
#include "control/policy.h"
#include "output/census_view.h"
#include "telemetry/connect_tracker.h"
#include "telemetry/host_signals.h"

namespace tidewaiter::output {

/// Who runs, and how: the same for the life of an agent.
struct AgentIdentity {
  std::string instance;
  std::string version;
  std::string netns = "self";
  base::Moment started{};
  base::Nanoseconds interval{0};  ///< between windows, as configured
};

/// Where numbers come from, and what the next source would need.
struct Source {
  std::string name;
  int tier = 0;
  bool is_active = false;
  std::string needs;  ///< empty when it is active
};

/// What the observer itself costs and misses.
struct ObserverFigures {
  std::optional<base::Nanoseconds> pass;  ///< wall time of the last pass: look, decide, publish
  base::Nanoseconds interval{0};          ///< between windows now; longer than configured where a pass takes too long
  std::uint64_t windows = 0;              ///< passes that gave a window
  std::uint64_t missed_windows = 0;       ///< that were due and did not come
  std::map<std::string, std::uint64_t> lost_events;  ///< by where they were lost
  std::string last_error;                            ///< why the last window was missed; empty: it was not
};

/// One window of an agent, as every view shows it. Points to what it was made from.
struct AgentView {
  const AgentIdentity* identity = nullptr;
  const control::Policy* policy = nullptr;
  const std::vector<Source>* sources = nullptr;
  const CensusView* census = nullptr;             ///< of the last window; null before the first
  const telemetry::Connects* connects = nullptr;  ///< of the last window; null: no source sees them
  const telemetry::HostSignals* host = nullptr;   ///< of the last window; null before the first
  const control::Round* round = nullptr;
  base::Moment at{};         ///< of the decisions; later than the census's when windows were missed
  std::uint64_t window = 0;  ///< number in the journal
  ObserverFigures observer;

  /// Wall time of an instant of this boot.
  [[nodiscard]] base::WallTime wall(base::Instant instant) const { return at.wall - (at.steady - instant); }
};

/// A transition as views list it: of a tuple or the host.
struct TransitionView {
  base::WallTime at{};
  std::uint64_t window = 0;
  std::optional<telemetry::Tuple> subject;  ///< whose state; absent: the host
  std::optional<telemetry::Tuple> cause;    ///< that the reasons are about
  control::Transition transition;
};

/// Too old to be believed: more windows are due than the policy allows to be missed.
[[nodiscard]] bool is_outdated(const AgentView& view, base::Instant now);

/// The transitions of a round, tuples first.
[[nodiscard]] std::vector<TransitionView> transitions_of(const AgentView& view);

}  // namespace tidewaiter::output
