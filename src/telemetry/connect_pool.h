// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/instant.h"
#include "telemetry/features.h"

namespace tidewaiter::telemetry {

/// Remembers the connects of the last windows of a tuple and pools them back from now, until there are enough to judge
/// a rate by: 20 attempts, at most 30 s. Memory: 20 bytes per window that had attempts. Thread: the caller's.
class ConnectPool {
 public:
  static constexpr std::uint32_t kEnough = 20;
  static constexpr base::Nanoseconds kFarthest = base::Seconds(30);

  /// A window that ended at `end`, later than those before it; one that does not is taken as ending with them.
  void add(base::Instant end, const ConnectCounts& counts);

  /// The newest windows that together have kEnough attempts, or all of the last 30 s. Absent: no attempt in 30 s.
  [[nodiscard]] std::optional<ConnectCounts> pooled(base::Instant now) const;

  [[nodiscard]] std::size_t windows() const { return windows_.size(); }

 private:
  struct Window {
    base::Instant end;
    ConnectCounts counts;
  };
  std::deque<Window> windows_;  ///< oldest first
};

}  // namespace tidewaiter::telemetry
