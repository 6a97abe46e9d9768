// SPDX-License-Identifier: Apache-2.0
#include "control/flap_guard.h"

#include <algorithm>

namespace tidewaiter::control {

bool FlapGuard::note(Direction direction, base::Instant now, std::uint64_t allowed, base::Nanoseconds window) {
  last_ = now;
  const bool goes_on_down = direction == Direction::kDown && was_down_;
  was_down_ = direction == Direction::kDown;
  if (goes_on_down) return false;
  const auto is_old = [&](base::Instant at) { return now - at > window; };
  counted_.erase(std::remove_if(counted_.begin(), counted_.end(), is_old), counted_.end());
  counted_.push_back(now);
  if (counted_.size() <= allowed) return false;
  counted_.erase(counted_.begin());
  if (is_on_) return false;
  is_on_ = true;
  return true;
}

void FlapGuard::calm(base::Instant now, base::Nanoseconds window) {
  if (is_on_ && now - last_ >= window) {
    is_on_ = false;
    counted_.clear();
  }
}

}  // namespace tidewaiter::control
