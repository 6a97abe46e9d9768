// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/instant.h"

namespace tidewaiter::cli {

/// Lets a loop sleep until a time or until Ctrl-C, without a signal handler: SIGINT and SIGTERM are blocked while it
/// lives and taken here. One per process.
class InterruptiblePause {
 public:
  InterruptiblePause();
  ~InterruptiblePause();
  InterruptiblePause(const InterruptiblePause&) = delete;
  InterruptiblePause& operator=(const InterruptiblePause&) = delete;

  /// True when the time came, false when the user wants to stop.
  [[nodiscard]] bool until(base::Instant time);
};

/// Both clocks, now. Only for composition roots.
[[nodiscard]] base::Moment read_clocks();

}  // namespace tidewaiter::cli
