// SPDX-License-Identifier: Apache-2.0
#include "telemetry/cadence.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <vector>

#include "telemetry/burst_index.h"

namespace tidewaiter::telemetry {

using base::Instant;
using base::Nanoseconds;

namespace {

std::optional<LaunchError> quantiles_of(std::vector<Nanoseconds> errors) {
  if (errors.empty()) {
    return std::nullopt;
  }
  std::sort(errors.begin(), errors.end());
  const auto at = [&](std::size_t percent) { return errors[(percent * errors.size() + 99) / 100 - 1]; };
  return LaunchError{.p50 = at(50), .p95 = at(95), .p99 = at(99)};
}

/// Both sorted, of the same children, not empty.
std::optional<double> clumping(std::span<const Instant> sent, std::span<const Instant> scheduled, BurstWidth width) {
  const Nanoseconds w = duration(width);
  const Nanoseconds extent = std::max(sent.back(), scheduled.back()) - std::min(sent.front(), scheduled.front());
  const Nanoseconds window = std::max(burst_window(w), extent);
  const auto read = [&](std::span<const Instant> times) {
    return burst_reading(count_pairs(times, w, Ties::kHalf), w, window).value;
  };
  const auto of_sends = read(sent);
  const auto of_schedule = read(scheduled);
  if (!of_sends || !of_schedule) {
    return std::nullopt;
  }
  return *of_sends - *of_schedule;
}

}  // namespace

Cadence cadence_of(std::span<const Launch> launches, Instant now) {
  Cadence cadence;
  std::vector<Instant> sent;
  std::vector<Instant> scheduled;
  std::vector<Nanoseconds> gross;
  std::vector<Nanoseconds> net;
  for (const Launch& launch : launches) {
    assert(launch.gate_delay.count() >= 0);
    const bool slice_over = now > launch.slice_end;
    if (launch.sent) {
      sent.push_back(*launch.sent);
      scheduled.push_back(launch.scheduled);
      gross.push_back(std::chrono::abs(*launch.sent - launch.scheduled));
      net.push_back(std::chrono::abs(*launch.sent - launch.gate_delay - launch.scheduled));
    }
    cadence.due += launch.sent || slice_over ? 1U : 0U;
    cadence.late += (launch.sent ? *launch.sent > launch.slice_end : slice_over) ? 1U : 0U;
  }
  cadence.sent = sent.size();
  cadence.gross_error = quantiles_of(std::move(gross));
  cadence.net_error = quantiles_of(std::move(net));
  if (!sent.empty()) {
    std::sort(sent.begin(), sent.end());
    std::sort(scheduled.begin(), scheduled.end());
    cadence.clumping_20ms = clumping(sent, scheduled, BurstWidth::k20ms);
    cadence.clumping_100ms = clumping(sent, scheduled, BurstWidth::k100ms);
  }
  if (cadence.due != 0) {
    cadence.late_share = static_cast<double>(cadence.late) / static_cast<double>(cadence.due);
  }
  return cadence;
}

}  // namespace tidewaiter::telemetry
