// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/instant.h"
#include "telemetry/sample.h"

namespace tidewaiter::model {

struct PortSearchOptions {
  base::Nanoseconds per_probe{67};                              ///< measured on Linux 6.18
  base::Nanoseconds past_cliff_above = base::Microseconds(50);  ///< a search that costs more is past the cliff
};

/// How far the port search of the next connect() of this tuple walks: ports probed, the one it takes included.
///
/// The walk goes through the preferred parity from where the last one ended, then through the other parity; every
/// port of the range is a step, reserved and locked ones too (net/ipv4/inet_hashtables.c, __inet_hash_connect).
/// `last_port`: the port given last, where it is known; otherwise the mean over all places to start from. Full = every
/// port of the range is probed in vain.
[[nodiscard]] double expected_probes(const telemetry::TupleSample& sample, const telemetry::PortPlan& plan,
                                     std::optional<std::uint16_t> last_port = std::nullopt);

[[nodiscard]] base::Nanoseconds search_cost(double probes, const PortSearchOptions& options = {});

}  // namespace tidewaiter::model
