// SPDX-License-Identifier: Apache-2.0
#include "lab/attempt_log.h"

#include <algorithm>

namespace tidewaiter::lab {

void AttemptLog::add(const Attempt& attempt) {
  const std::lock_guard lock(mutex_);
  attempts_.push_back(attempt);
  ++totals_.offered;
  ++totals_.attempts;
  if (attempt.error != 0) ++totals_.failed;
}

void AttemptLog::add_refusal() {
  const std::lock_guard lock(mutex_);
  ++totals_.offered;
  ++totals_.refused_by_limit;
}

AttemptTotals AttemptLog::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

std::vector<Attempt> AttemptLog::attempts() const {
  const std::lock_guard lock(mutex_);
  return attempts_;
}

std::optional<base::Instant> AttemptLog::first_failure(int error) const {
  const std::lock_guard lock(mutex_);
  for (const Attempt& attempt : attempts_) {
    if (attempt.error == error) return attempt.at;
  }
  return std::nullopt;
}

std::optional<base::Instant> AttemptLog::first_of_other_parity(std::uint16_t preferred) const {
  const std::lock_guard lock(mutex_);
  for (const Attempt& attempt : attempts_) {
    if (attempt.error == 0 && ((attempt.local_port ^ preferred) & 1) != 0) return attempt.at;
  }
  return std::nullopt;
}

std::optional<base::Nanoseconds> AttemptLog::median_connect(base::Instant from, base::Instant to) const {
  std::vector<base::Nanoseconds> times;
  {
    const std::lock_guard lock(mutex_);
    for (const Attempt& attempt : attempts_) {
      if (attempt.error == 0 && attempt.at >= from && attempt.at < to) times.push_back(attempt.took);
    }
  }
  if (times.empty()) return std::nullopt;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

std::uint64_t AttemptLog::failures_between(base::Instant from, base::Instant to) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::uint64_t>(std::count_if(attempts_.begin(), attempts_.end(), [&](const Attempt& attempt) {
    return attempt.error != 0 && attempt.at >= from && attempt.at < to;
  }));
}

}  // namespace tidewaiter::lab
