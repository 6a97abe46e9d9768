// SPDX-License-Identifier: Apache-2.0
#include "telemetry/wait_distribution.h"

#include <algorithm>
#include <cstddef>

namespace tidewaiter::telemetry {

std::optional<WaitDistribution> distribution_of(std::vector<std::uint32_t> waits_ms) {
  if (waits_ms.empty()) return std::nullopt;
  std::sort(waits_ms.begin(), waits_ms.end());
  // Nearest rank: the smallest wait that `percent` of 100 do not exceed.
  const auto at = [&](std::size_t percent) { return waits_ms[(waits_ms.size() * percent + 99) / 100 - 1]; };
  return WaitDistribution{static_cast<std::uint32_t>(waits_ms.size()), at(50), at(95), waits_ms.back()};
}

}  // namespace tidewaiter::telemetry
