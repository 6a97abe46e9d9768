// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/instant.h"
#include "control/step.h"
#include "output/agent_view.h"
#include "output/connect_durations.h"
#include "output/series_limit.h"

namespace tidewaiter::output {

/// What is counted over the life of an agent, beside what its views hold.
struct AgentCounters {
  std::map<std::pair<std::string, std::string>, std::uint64_t> transitions;  ///< of tuples: (from, to) → times
  std::uint64_t http_requests = 0;
  ConnectDurations durations;
};

/// Everything of an agent in the Prometheus text format, as of `now`.
[[nodiscard]] std::string agent_metrics(const AgentView& view, const AgentCounters& counters, const SeriesLimit& series,
                                        base::Instant now);

}  // namespace tidewaiter::output
