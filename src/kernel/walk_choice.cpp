// SPDX-License-Identifier: Apache-2.0
#include "kernel/walk_choice.h"

#include <algorithm>

namespace tidewaiter::kernel {

using telemetry::LookSource;

LookSource WalkChoice::other() const {
  return preferred_ == LookSource::kSockDiag ? LookSource::kIterator : LookSource::kSockDiag;
}

LookSource WalkChoice::next() const { return walks_before_trial_ == 0 ? other() : preferred_; }

void WalkChoice::observe(base::Nanoseconds cpu, std::uint64_t sockets) {
  const double cost = static_cast<double>(cpu.count()) / static_cast<double>(std::max<std::uint64_t>(sockets, 1));
  if (walks_before_trial_ == 0) return on_trial(cost);
  --walks_before_trial_;
  last_cost_ = cost;
}

void WalkChoice::on_trial(double cost) {
  won_ = cost < kCheaperBelow * last_cost_ ? won_ + 1 : 0;
  walks_before_trial_ = won_ > 0 ? 1 : kWalksBetweenTrials;
  if (won_ < kTrialsToWin) return;
  preferred_ = other();
  won_ = 0;
  walks_before_trial_ = kWalksBetweenTrials;
}

}  // namespace tidewaiter::kernel
