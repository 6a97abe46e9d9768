// SPDX-License-Identifier: Apache-2.0
#include "control/baseline.h"

#include <algorithm>
#include <cmath>

namespace tidewaiter::control {

void RunningMedian::add(double value) {
  if (count_ < kMarkers) {
    heights_[count_++] = value;
    std::sort(heights_.begin(), heights_.begin() + count_);
    return;
  }
  std::size_t cell = 0;
  while (cell + 2 < kMarkers && value >= heights_[cell + 1]) ++cell;
  heights_.front() = std::min(heights_.front(), value);
  heights_.back() = std::max(heights_.back(), value);
  for (std::size_t marker = cell + 1; marker < kMarkers; ++marker) positions_[marker] += 1;
  ++count_;
  for (std::size_t marker = 1; marker + 1 < kMarkers; ++marker) {
    // The desired positions of the quantiles ¼, ½ and ¾ of what was seen.
    const double off = 1 + (count_ - 1) * (static_cast<double>(marker) / 4) - positions_[marker];
    const double to_next = positions_[marker + 1] - positions_[marker];
    const double to_last = positions_[marker - 1] - positions_[marker];
    if ((off >= 1 && to_next > 1) || (off <= -1 && to_last < -1)) adjust(marker, std::copysign(1.0, off));
  }
}

void RunningMedian::adjust(std::size_t marker, double step) {
  const double below = heights_[marker - 1];
  const double here = heights_[marker];
  const double above = heights_[marker + 1];
  const double left = positions_[marker] - positions_[marker - 1];
  const double right = positions_[marker + 1] - positions_[marker];
  const double parabola =
      here + step / (left + right) * ((left + step) * (above - here) / right + (right - step) * (here - below) / left);
  if (below < parabola && parabola < above) {
    heights_[marker] = parabola;
  } else {
    heights_[marker] += step > 0 ? (above - here) / right : -(here - below) / left;
  }
  positions_[marker] += step;
}

double RunningMedian::value() const {
  if (count_ >= kMarkers) return heights_[2];
  const std::size_t half = count_ / 2;
  return count_ % 2 == 1 ? heights_[half] : (heights_[half - 1] + heights_[half]) / 2;
}

void Baseline::learn(double p95_us) {
  median_.add(std::log2(std::max(1.0, p95_us)));
  if (is_learnt()) median_us_ = std::exp2(median_.value());
}

}  // namespace tidewaiter::control
