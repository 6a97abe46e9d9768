// SPDX-License-Identifier: Apache-2.0
#include "lab/load_shape.h"

#include <algorithm>

#include "lab/clock.h"

namespace tidewaiter::lab {

LoadShape constant(double per_s) {
  return [per_s](base::Nanoseconds) { return per_s; };
}

LoadShape ramp(double from_per_s, double to_per_s, base::Nanoseconds duration) {
  return [=](base::Nanoseconds since) {
    const double share = std::clamp(to_seconds(since) / to_seconds(duration), 0.0, 1.0);
    return from_per_s + (to_per_s - from_per_s) * share;
  };
}

LoadShape pulses(double per_s, base::Nanoseconds on, base::Nanoseconds off) {
  return [=](base::Nanoseconds since) { return since % (on + off) < on ? per_s : 0.0; };
}

LoadShape then(LoadShape first, base::Nanoseconds until, LoadShape second) {
  return [first = std::move(first), until, second = std::move(second)](base::Nanoseconds since) {
    return since < until ? first(since) : second(since - until);
  };
}

}  // namespace tidewaiter::lab
