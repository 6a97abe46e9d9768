// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/instant.h"

namespace tidewaiter::lab {

/// Monotonic time, now. Experiments run in real time: the lab is a root of the program and reads clocks.
[[nodiscard]] inline base::Instant read_clock() { return base::Instant(std::chrono::steady_clock::now()); }

/// Both clocks, now.
[[nodiscard]] inline base::Moment read_clocks() {
  return {read_clock(), base::WallTime(std::chrono::system_clock::now())};
}

[[nodiscard]] inline double to_seconds(base::Nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

[[nodiscard]] inline base::Nanoseconds from_seconds(double seconds) {
  return base::Nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

}  // namespace tidewaiter::lab
