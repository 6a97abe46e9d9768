// SPDX-License-Identifier: Apache-2.0
#include "telemetry/connect_pool.h"

#include <algorithm>

namespace tidewaiter::telemetry {

void ConnectPool::add(base::Instant end, const ConnectCounts& counts) {
  if (!windows_.empty()) end = std::max(end, windows_.back().end);
  while (!windows_.empty() && end - windows_.front().end > kFarthest) windows_.pop_front();
  if (counts.attempts != 0) windows_.push_back({end, counts});
}

std::optional<ConnectCounts> ConnectPool::pooled(base::Instant now) const {
  ConnectCounts sum;
  for (auto window = windows_.rbegin(); window != windows_.rend(); ++window) {
    if (now - window->end > kFarthest) break;
    sum += window->counts;
    if (sum.attempts >= kEnough) break;
  }
  if (sum.attempts == 0) return std::nullopt;
  return sum;
}

}  // namespace tidewaiter::telemetry
