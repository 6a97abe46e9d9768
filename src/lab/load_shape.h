// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "base/instant.h"

namespace tidewaiter::lab {

/// Offered load over time: connects per second, by the time since the load began. Pure.
using LoadShape = std::function<double(base::Nanoseconds)>;

[[nodiscard]] LoadShape constant(double per_s);

/// From one rate to another in a straight line, then the second.
[[nodiscard]] LoadShape ramp(double from_per_s, double to_per_s, base::Nanoseconds duration);

/// `per_s` for `on`, nothing for `off`, and again.
[[nodiscard]] LoadShape pulses(double per_s, base::Nanoseconds on, base::Nanoseconds off);

/// `first` until `until`, then `second` from its own beginning.
[[nodiscard]] LoadShape then(LoadShape first, base::Nanoseconds until, LoadShape second);

}  // namespace tidewaiter::lab
