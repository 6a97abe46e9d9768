// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "output/agent_view.h"
#include "output/exposition.h"
#include "output/series_limit.h"

namespace tidewaiter::output {

/// What programs told of their orders and retries; nothing while none does.
void add_programs(Exposition& exposition, const AgentView& view, const SeriesLimit& series);

}  // namespace tidewaiter::output
