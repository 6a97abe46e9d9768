// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/instant.h"
#include "telemetry/sample.h"

namespace tidewaiter::model {

/// Ports by parity: `preferred` is the parity that connect() tries first.
struct ParityCounts {
  double preferred = 0;
  double other = 0;

  [[nodiscard]] double total() const { return preferred + other; }
};

/// The step of the kernel's timer wheel at which a 60 s timer fires: the next power-of-eight level's granularity in
/// jiffies (kernel/time/timer.c, LVL_GRAN), 2.048 s at HZ 250, 5.12 s at 100, 4.096 s at 1000. TIME_WAITs come free
/// in clumps, up to this much after their nominal end. `hz` > 0.
[[nodiscard]] base::Nanoseconds time_wait_granule(unsigned hz);

/// When the TIME_WAITs of one tuple give their ports back: supply known from the kernel, not estimated.
///
/// Each release is entered at its late bound, nominal end + granule. Where reuse is allowed a port counts from the age
/// at which connect() may take it over, if that is earlier. A FIN_WAIT2 mini-socket gives nothing inside the horizon,
/// because the peer's FIN restarts its 60 s; a reusable TIME_WAIT counts as free already.
class ReleaseSchedule {
 public:
  static constexpr base::Nanoseconds kSlot = base::Milliseconds(10);

  /// `granule` ≥ 0, at most 10 s (longer is treated as 10 s).
  ReleaseSchedule(const telemetry::TupleSample& sample, const telemetry::PortPlan& plan, base::Nanoseconds granule);

  /// Time after which nothing of the present can be released any more: 60 s + granule.
  [[nodiscard]] base::Nanoseconds horizon() const { return kSlot * static_cast<std::int64_t>(slots_.size()); }

  /// Ports released in slot i, that is in (i, i + 1] · kSlot from the look on.
  [[nodiscard]] const std::vector<ParityCounts>& slots() const { return slots_; }

 private:
  std::vector<ParityCounts> slots_;
};

/// Ports whose TIME_WAIT nominally ends in each of the next 60 seconds, both parities, reusable ones left out: for
/// pictures. Forecasts use the late bound of the schedule.
[[nodiscard]] std::array<std::uint32_t, 60> nominal_releases(const telemetry::TupleSample& sample);

}  // namespace tidewaiter::model
