// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "telemetry/port_plan.h"
#include "telemetry/sample.h"

namespace tidewaiter::telemetry {

/// Adds the ports of a tuple, each at most once in the list, to its counts.
void add_ports(const PortPlan& plan, const std::vector<PortUse>& ports, TupleCounts& counts);

}  // namespace tidewaiter::telemetry
