// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tidewaiter::model {

/// The lower end of the one-sided 95 % Wilson score interval for a share of which `successes` of `trials` > 0 were
/// seen: what the share is at least, however few trials there were. (Wilson 1927; z = 1.6449.)
[[nodiscard]] double wilson_lower_bound(std::uint32_t successes, std::uint32_t trials);

}  // namespace tidewaiter::model
