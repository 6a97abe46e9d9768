// SPDX-License-Identifier: Apache-2.0
#include "model/proportion.h"

#include <algorithm>
#include <cmath>

namespace tidewaiter::model {

double wilson_lower_bound(std::uint32_t successes, std::uint32_t trials) {
  constexpr double kZ = 1.6448536269514722;  // the 95 % point of the normal distribution
  const double n = trials;
  const double share = successes / n;
  const double middle = share + kZ * kZ / (2 * n);
  const double width = kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  return std::max(0.0, (middle - width) / (1 + kZ * kZ / n));
}

}  // namespace tidewaiter::model
