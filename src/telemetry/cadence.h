// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/instant.h"

namespace tidewaiter::telemetry {

/// One child order: when its first byte was to be handed to the socket, and when it was.
struct Launch {
  base::Instant scheduled;
  std::optional<base::Instant> sent;  ///< absent: not sent, or not yet
  base::Instant slice_end;            ///< the end of the part of the parent's schedule that the child belongs to
  base::Nanoseconds gate_delay{0};    ///< how long a gate held it back on purpose, ≥ 0
};

/// Quantiles of |t_sent − t_sched|, by nearest rank.
struct LaunchError {
  base::Nanoseconds p50{0};
  base::Nanoseconds p95{0};
  base::Nanoseconds p99{0};
};

/// How faithfully a parent, a session or a host kept its schedule.
struct Cadence {
  std::uint64_t sent = 0;                  ///< n of the launch errors and of the clumping
  std::optional<LaunchError> gross_error;  ///< absent: nothing was sent
  std::optional<LaunchError> net_error;    ///< the gate's delay taken off: |t_sent − gate delay − t_sched|

  /// Burst index of the send times minus that of the same children's scheduled times, in [−1, 1]: > 0 when sending
  /// bunched what the schedule had spread. Absent: one of the two has few pairs.
  std::optional<double> clumping_20ms;
  std::optional<double> clumping_100ms;

  std::uint64_t due = 0;             ///< children sent, or whose slice has ended: n of the late share
  std::uint64_t late = 0;            ///< of these, sent after the slice ended, or not sent by then and not since
  std::optional<double> late_share;  ///< late / due; absent: nothing is due
};

/// The cadence of launches, in any order, as it is known at `now`. A child that was never sent has no launch error; it
/// is late once its slice has ended, and until then it is not due. The burst indices are taken over one window for
/// sends and schedule: from the first to the last of all their times, at least 5 s; pairs on the edge count half
/// (Ties::kHalf), because schedules lie on grids. Definitions: docs/design/bursts.md.
/// O(n log n). Threads: any. Errors: none but std::bad_alloc.
[[nodiscard]] Cadence cadence_of(std::span<const Launch> launches, base::Instant now);

}  // namespace tidewaiter::telemetry
