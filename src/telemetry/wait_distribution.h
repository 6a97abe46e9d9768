// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace tidewaiter::telemetry {

/// How long those that wait at one moment have waited. Quantiles by nearest rank: each is one of the waits.
struct WaitDistribution {
  std::uint32_t count = 0;  ///< > 0
  std::uint32_t p50_ms = 0;
  std::uint32_t p95_ms = 0;
  std::uint32_t oldest_ms = 0;

  friend bool operator==(const WaitDistribution&, const WaitDistribution&) = default;
};

/// Absent: nobody waits.
[[nodiscard]] std::optional<WaitDistribution> distribution_of(std::vector<std::uint32_t> waits_ms);

}  // namespace tidewaiter::telemetry
