// SPDX-License-Identifier: Apache-2.0
#include "telemetry/pressure.h"

namespace tidewaiter::telemetry {
namespace {

std::optional<double> ratio(std::uint32_t part, std::uint32_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(part) / static_cast<double>(whole);
}

void raise(std::optional<double>& maximum, const std::optional<double>& value) {
  if (value && (!maximum || *value > *maximum)) maximum = value;
}

}  // namespace

Pressure pressure_of(const TupleSample& sample, const PortPlan& plan) {
  const TupleCounts& counts = sample.counts;
  const std::uint32_t held = counts.live + counts.time_wait - counts.time_wait_reusable;
  const std::uint32_t held_preferred =
      counts.live_preferred + counts.time_wait_preferred - counts.time_wait_reusable_preferred;
  Pressure pressure;
  pressure.free = plan.capacity() - held;
  pressure.free_preferred = plan.preferred_capacity() - held_preferred;
  pressure.ppr = ratio(held, plan.capacity());
  pressure.ppr_preferred = ratio(held_preferred, plan.preferred_capacity());
  pressure.twr = ratio(counts.time_wait - counts.time_wait_reusable, plan.capacity());
  pressure.next_release_ms = counts.next_release_ms;
  return pressure;
}

HostPressure host_pressure_of(const Sample& sample) {
  HostPressure host;
  if (sample.plan.capacity() > 0) host.ppr = host.twr = 0.0;
  for (const TupleSample& tuple : sample.tuples) {
    const Pressure pressure = pressure_of(tuple, sample.plan);
    raise(host.ppr, pressure.ppr);
    raise(host.twr, pressure.twr);
  }
  const std::uint32_t range = sample.plan.size() - sample.plan.reserved();
  host.ppr_literal = ratio(sample.in_range, range);
  host.twr_literal = ratio(sample.in_range_time_wait, range);
  return host;
}

}  // namespace tidewaiter::telemetry
