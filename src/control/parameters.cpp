// SPDX-License-Identifier: Apache-2.0
#include "control/parameters.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace tidewaiter::control {
namespace {

template <std::size_t kCount, class Enumeration>
std::string_view word(const std::array<std::string_view, kCount>& words, Enumeration value) {
  return words[static_cast<std::size_t>(value)];
}

/// The smaller of two limits; absent = no limit.
std::optional<double> tighter(const std::optional<double>& left, const std::optional<double>& right) {
  if (!left || !right) return left ? left : right;
  return std::min(*left, *right);
}

}  // namespace

std::string_view name(PoolReuse value) {
  return word(std::array<std::string_view, 4>{"prefer", "keep_alive", "warm_preferred", "warm_only"}, value);
}

std::string_view name(OptionalReconnects value) {
  return word(std::array<std::string_view, 4>{"yes", "paced", "paused", "frozen"}, value);
}

std::string_view name(NonUrgentFlow value) {
  return word(std::array<std::string_view, 3>{"send", "send_capped", "contained"}, value);
}

std::string_view name(UrgencyOverride value) {
  return word(std::array<std::string_view, 3>{"free", "logged", "approval"}, value);
}

std::string_view name(Mode mode) { return word(std::array<std::string_view, 3>{"off", "shadow", "enforce"}, mode); }

ConnectionParameters stricter(const ConnectionParameters& left, const ConnectionParameters& right) {
  return {tighter(left.retry_rate_per_s, right.retry_rate_per_s),
          tighter(left.retry_burst, right.retry_burst),
          std::min(left.max_new_connects, right.max_new_connects),
          tighter(left.connect_rate_per_s, right.connect_rate_per_s),
          std::max(left.pool_reuse, right.pool_reuse),
          std::max(left.optional_reconnects, right.optional_reconnects)};
}

}  // namespace tidewaiter::control
