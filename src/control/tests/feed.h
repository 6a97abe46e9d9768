// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "control/step.h"

namespace tidewaiter::control {

inline constexpr double kNever = std::numeric_limits<double>::infinity();
inline constexpr base::Nanoseconds kWindow = base::Seconds(1);
inline constexpr base::Instant kStart{base::Seconds(1'000)};

/// A window in which everything is known and nothing happens.
inline WindowInput calm_window() {
  WindowInput window;
  window.features.ppr = 0.0;
  window.features.ppr_preferred = 0.0;
  window.features.twr = 0.0;
  window.features.connects = {10, 0, 0};
  window.features.pooled_connects = {100, 0, 0};
  window.features.connect_time = {1'000, 100};
  window.features.port_search_time = {10, 100};
  window.features.send_delay = {1'000, 100};
  window.features.burst_index = 0.0;
  window.features.retry_queue_depth = 0.0;
  window.features.reconnects_per_s = 0.0;
  window.time_to_cliff_s = kNever;
  window.time_to_exhaustion_s = kNever;
  window.is_past_cliff = false;
  window.free_margin = 10'000;
  window.sustainable_per_s = 470;
  return window;
}

/// A calm window of a tuple that only its ports are known of (tier 0).
inline WindowInput census_window(double ppr, double twr) {
  WindowInput window;
  window.features.ppr = ppr;
  window.features.twr = twr;
  window.sustainable_per_s = 470;
  return window;
}

/// One tuple and its time: each event comes a window's length after the one before.
class Feed {
 public:
  explicit Feed(Policy with = {}) : policy(std::move(with)) {}

  const Decision& take(const Event& event, base::Nanoseconds later = kWindow) {
    now += later;
    Step next = step(state, event, policy, now);
    state = std::move(next.state);
    last = next.decision;
    return last;
  }
  const Decision& window(const WindowInput& window) { return take(window); }
  const Decision& windows(int count, const WindowInput& window) {
    for (int i = 0; i < count; ++i) take(window);
    return last;
  }
  const Decision& at_once(Guard guard) { return take(guard, base::Milliseconds(1)); }

  Policy policy;
  TupleState state;
  base::Instant now = kStart;
  Decision last;
};

inline bool names(const Reasons& reasons, std::string_view condition) {
  return std::any_of(reasons.begin(), reasons.end(),
                     [&](const Reason& reason) { return reason.condition == condition; });
}

inline bool is_off(const Decision& decision, const Policy& policy, Effect effect, std::string_view name) {
  for (std::size_t row = 0; row < policy.conditions.size(); ++row) {
    const Condition& condition = policy.conditions[row];
    if (condition.effect == effect && condition.name == name) return decision.off[row];
  }
  return false;
}

}  // namespace tidewaiter::control
