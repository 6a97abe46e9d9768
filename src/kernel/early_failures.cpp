// SPDX-License-Identifier: Apache-2.0
#include "kernel/early_failures.h"

#include <algorithm>

namespace tidewaiter::kernel {

void EarlyFailures::update(const Counts& counted, std::span<const EnteredCall> calls, base::Instant now) {
  Counts sums = buried_;
  for (const auto& [destination, count] : counted) sums[destination] += count;
  for (const EnteredCall& call : calls) {
    if (now - call.began >= kSurelyOver) ++sums[call.destination];
  }
  for (const auto& [destination, count] : sums) {
    std::uint64_t& failed = failed_[destination];
    failed = std::max(failed, count);
  }
}

}  // namespace tidewaiter::kernel
