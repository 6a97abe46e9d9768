// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/instant.h"

namespace tidewaiter::telemetry {

/// When the kernel's timer wheel lets a TIME_WAIT go: not at its due time but at the next multiple of the wheel's step
/// (2 s at 250 ticks per second). The phase is that of the tick counter, known once a pair of both clocks was seen.
class TimerWheel {
 public:
  explicit TimerWheel(unsigned hz) : hz_(hz), shift_(shift_of(hz)) {}

  /// Ticks between two steps on which a timer of 60 s can fire. hz > 0.
  [[nodiscard]] static std::uint64_t granularity(unsigned hz) { return std::uint64_t{1} << shift_of(hz); }

  /// The tick counter stood at `ticks` at this time.
  void synchronize(base::Instant at, std::uint64_t ticks) {
    at_ = at;
    ticks_ = ticks;
  }
  [[nodiscard]] bool is_synchronized() const { return at_.has_value(); }

  /// When a timer fires that is due at `due`. Without the phase: its due time, the earliest moment.
  [[nodiscard]] base::Instant fires(base::Instant due) const {
    if (!at_) return due;
    const std::int64_t per_tick = 1'000'000'000 / static_cast<std::int64_t>(hz_);
    const std::int64_t ticks = static_cast<std::int64_t>(ticks_) + (due - *at_).count() / per_tick;
    const std::int64_t fired = ((ticks >> shift_) + 1) << shift_;
    return *at_ + base::Nanoseconds((fired - static_cast<std::int64_t>(ticks_)) * per_tick);
  }

 private:
  /// Level n of the wheel holds timers up to 63 · 8^n ticks ahead and fires them on multiples of 8^n.
  static unsigned shift_of(unsigned hz) {
    unsigned shift = 0;
    while (std::uint64_t{60} * hz >= std::uint64_t{63} << shift) shift += 3;
    return shift;
  }

  unsigned hz_;
  unsigned shift_;
  std::optional<base::Instant> at_;
  std::uint64_t ticks_ = 0;
};

}  // namespace tidewaiter::telemetry
