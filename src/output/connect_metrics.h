// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "output/agent_view.h"
#include "output/connect_durations.h"
#include "output/exposition.h"
#include "output/series_limit.h"

namespace tidewaiter::output {

/// The series of connects; none without a source. A tuple with series of its own keeps them when its last socket goes;
/// all other connects are in dst="other", so that the series of a counter add up to `host.connects` of the status.
void add_connects(Exposition& exposition, const AgentView& view, const ConnectDurations& durations,
                  const SeriesLimit& series);

/// Which sources are attached.
void add_sources(Exposition& exposition, const AgentView& view);

}  // namespace tidewaiter::output
