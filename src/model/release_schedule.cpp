// SPDX-License-Identifier: Apache-2.0
#include "model/release_schedule.h"

#include <algorithm>
#include <cassert>

#include "telemetry/timer_wheel.h"

namespace tidewaiter::model {
namespace {

using telemetry::kTimeWaitMs;

constexpr base::Nanoseconds kLongestGranule = base::Seconds(10);

/// Milliseconds until connect() can take the port of a running TIME_WAIT, at the latest.
std::int64_t late_release_ms(const telemetry::PortUse& use, std::int64_t granule_ms, bool reuse_allowed,
                             std::uint32_t reuse_delay_ms) {
  const std::int64_t expiry = use.remaining_ms + granule_ms;
  if (!reuse_allowed || reuse_delay_ms >= kTimeWaitMs) return expiry;
  const std::int64_t reusable_at = static_cast<std::int64_t>(use.remaining_ms) - kTimeWaitMs + reuse_delay_ms;
  return std::clamp<std::int64_t>(reusable_at, 0, expiry);
}

}  // namespace

base::Nanoseconds time_wait_granule(unsigned hz) {
  assert(hz > 0);
  return base::Nanoseconds(static_cast<std::int64_t>(telemetry::TimerWheel::granularity(hz) * 1'000'000'000ULL / hz));
}

ReleaseSchedule::ReleaseSchedule(const telemetry::TupleSample& sample, const telemetry::PortPlan& plan,
                                 base::Nanoseconds granule) {
  constexpr std::int64_t kSlotMs = std::chrono::duration_cast<base::Milliseconds>(kSlot).count();
  const std::int64_t granule_ms =
      std::chrono::ceil<base::Milliseconds>(std::clamp(granule, base::Nanoseconds(0), kLongestGranule)).count();
  slots_.resize(static_cast<std::size_t>((kTimeWaitMs + granule_ms + kSlotMs - 1) / kSlotMs));
  const bool reuse_allowed = plan.is_reuse_allowed(sample.tuple.source, sample.tuple.destination);
  const std::uint32_t reuse_delay_ms = plan.settings().reuse_delay_ms;
  for (const telemetry::PortUse& use : sample.ports) {
    if (use.holder != telemetry::PortHolder::kTimeWait || use.reusable) continue;
    const std::int64_t due_ms = late_release_ms(use, granule_ms, reuse_allowed, reuse_delay_ms);
    const auto slot =
        std::min(static_cast<std::size_t>(std::max<std::int64_t>(due_ms - 1, 0) / kSlotMs), slots_.size() - 1);
    (plan.is_preferred(use.port) ? slots_[slot].preferred : slots_[slot].other) += 1;
  }
}

std::array<std::uint32_t, 60> nominal_releases(const telemetry::TupleSample& sample) {
  std::array<std::uint32_t, 60> by_second{};
  for (const telemetry::PortUse& use : sample.ports) {
    if (use.holder != telemetry::PortHolder::kTimeWait || use.reusable) continue;
    ++by_second[std::min<std::size_t>(use.remaining_ms / 1000, by_second.size() - 1)];
  }
  return by_second;
}

}  // namespace tidewaiter::model
