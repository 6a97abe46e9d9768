// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/instant.h"

namespace tidewaiter::control {

/// Notices a state that comes and goes: more transitions within the window than are allowed. A monotone descent is one
/// movement: only its first step counts. While it is on, dwell times are doubled; it goes off after a whole window
/// without any transition.
class FlapGuard {
 public:
  enum class Direction : std::uint8_t { kUp, kDown };

  /// A transition at `now`. True when the guard went on with it.
  [[nodiscard]] bool note(Direction direction, base::Instant now, std::uint64_t allowed, base::Nanoseconds window);

  /// Time passes: the guard goes off after a calm window.
  void calm(base::Instant now, base::Nanoseconds window);

  [[nodiscard]] bool is_on() const { return is_on_; }
  [[nodiscard]] int dwell_factor() const { return is_on_ ? 2 : 1; }

 private:
  std::vector<base::Instant> counted_;  ///< within the window, oldest first; at most allowed + 1
  base::Instant last_{};
  bool was_down_ = false;
  bool is_on_ = false;
};

}  // namespace tidewaiter::control
