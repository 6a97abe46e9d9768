// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/snapshot.h"
#include "board/wire.h"
#include "control/parameters.h"
#include "telemetry/sample.h"

namespace tidewaiter::agent {

/// The key under which a tuple of a namespace stands in the parameter block.
[[nodiscard]] tw_tuple board_key(const telemetry::Tuple& tuple, const std::string& netns);

[[nodiscard]] tw_parameters board_parameters(const control::Parameters& parameters);

/// The host's record of a snapshot, and those of the watched tuples, the most important first.
[[nodiscard]] tw_record board_host(const Snapshot& snapshot);
[[nodiscard]] std::vector<tw_record> board_tuples(const Snapshot& snapshot);

}  // namespace tidewaiter::agent
