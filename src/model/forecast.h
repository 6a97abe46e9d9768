// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/instant.h"
#include "model/release_schedule.h"
#include "telemetry/port_plan.h"

namespace tidewaiter::model {

/// The assumption about load under which a forecast holds: constant from now on.
struct Demand {
  double offered_per_s = 0;  ///< connects that will ask for a port, refused and queued ones included; ≥ 0
  double returns_per_s = 0;  ///< ports given back without TIME_WAIT (reset, or the peer closed first); ≥ 0
  double growth_per_s = 0;   ///< net growth of live connections, 0 where it is not more than chance; ≥ 0

  /// Where connect() may take over TIME_WAITs: the age from which it does. Closes from now on are free again then.
  std::optional<base::Nanoseconds> reused_after = std::nullopt;
};

struct ForecastOptions {
  double cliff_share = 0.01;  ///< past the cliff: fewer than this share of the preferred ports is free
};

/// What comes if nothing changes. A time that is absent means "never at this rate".
struct Forecast {
  std::optional<base::Nanoseconds> time_to_cliff;       ///< 0 = past it now
  std::optional<base::Nanoseconds> time_to_exhaustion;  ///< 0 = no free port now
  std::vector<ParityCounts> free_by_second;             ///< at 0, 1, … 60 s from the look
};

/// free(h) = free(0) + releases(h) − arrivals(h) + returns(h), per parity, in 10 ms steps: arrivals take preferred
/// ports while there are any, then the others. Connections closed from now on give nothing back inside the schedule's
/// horizon, unless they are reused earlier; after it their TIME_WAITs balance (Little: r connects/s hold 60 · r ports)
/// and only growth of live connections counts. docs/design/forecast.md derives it and lists what it leaves out.
[[nodiscard]] Forecast forecast(const ParityCounts& free_now, const ReleaseSchedule& releases, const Demand& demand,
                                const telemetry::PortPlan& plan, const ForecastOptions& options = {});

/// Connects per second that a client which closes first can sustain towards one tuple, forever: `ports` / 60 s.
/// (Little's law; 28,232 ports: 470.5/s, the preferred half: 235.3/s.)
[[nodiscard]] double sustainable_per_s(std::uint32_t ports);

}  // namespace tidewaiter::model
