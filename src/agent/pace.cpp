// SPDX-License-Identifier: Apache-2.0
#include "agent/pace.h"

#include <algorithm>
#include <cmath>

namespace tidewaiter::agent {
namespace {

constexpr base::Nanoseconds kStep = base::Milliseconds(100);
constexpr double kForget = 0.2;        // share of a fall that each pass is believed
constexpr double kClearlyLess = 0.75;  // of the present interval

}  // namespace

std::vector<base::Setting> Pace::settings_of(Options& options) {
  return {{"agent.max_pass_share", "ratio",
           "Share of the interval that a pass (look, decide, publish) may cost in CPU time; beyond it the interval is "
           "stretched.",
           base::Setting::Real{&options.max_share, 0.001, 0.5}}};
}

bool Pace::note(base::Nanoseconds pass) {
  const auto cost = static_cast<double>(pass.count());
  pass_ns_ = cost > pass_ns_ ? cost : pass_ns_ + kForget * (cost - pass_ns_);
  const auto needed = base::Nanoseconds(std::llround(pass_ns_ / options_.max_share));
  if (needed <= now_ &&
      (!is_stretched() || static_cast<double>(needed.count()) > kClearlyLess * static_cast<double>(now_.count()))) {
    return false;
  }
  const base::Nanoseconds before = now_;
  const base::Nanoseconds rounded = (needed + kStep - base::Nanoseconds(1)) / kStep * kStep;
  now_ = std::max(configured_, std::min(rounded, kLongest));
  return now_ != before;
}

base::Instant Pace::next(base::Instant due, base::Instant now) const {
  base::Instant next = due + now_;
  if (next < now + now_ / 2) next += (now + now_ / 2 - next + now_ - base::Nanoseconds(1)) / now_ * now_;
  return next;
}

std::uint64_t Pace::skipped(base::Instant due, base::Instant now) const {
  const base::Nanoseconds gap = next(due, now) - due;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(gap / now_ - 1, 0));
}

}  // namespace tidewaiter::agent
