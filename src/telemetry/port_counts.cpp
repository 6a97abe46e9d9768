// SPDX-License-Identifier: Apache-2.0
#include "telemetry/port_counts.h"

#include <algorithm>

namespace tidewaiter::telemetry {

void add_ports(const PortPlan& plan, const std::vector<PortUse>& ports, TupleCounts& counts) {
  for (const PortUse& use : ports) {
    const std::uint32_t preferred = plan.is_preferred(use.port) ? 1 : 0;
    const std::uint32_t mini = use.is_mini_socket() ? 1 : 0;
    const std::uint32_t reusable = use.reusable ? 1 : 0;
    counts.live += 1 - mini;
    counts.live_preferred += preferred & (1 - mini);
    counts.time_wait += mini;
    counts.time_wait_preferred += preferred & mini;
    counts.time_wait_reusable += reusable;
    counts.time_wait_reusable_preferred += preferred & reusable;
    if (use.holder == PortHolder::kTimeWait && !use.reusable) {
      counts.next_release_ms = std::min(counts.next_release_ms.value_or(use.remaining_ms), use.remaining_ms);
    }
  }
}

}  // namespace tidewaiter::telemetry
