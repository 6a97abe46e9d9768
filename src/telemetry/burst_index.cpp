// SPDX-License-Identifier: Apache-2.0
#include "telemetry/burst_index.h"

#include <cassert>

namespace tidewaiter::telemetry {

using base::Instant;
using base::Nanoseconds;

namespace {

/// Pairs (i < j) with t_j − t_i ≤ distance.
double pairs_within(std::span<const Instant> sorted, Nanoseconds distance) {
  std::uint64_t pairs = 0;
  std::size_t first = 0;
  for (std::size_t j = 0; j < sorted.size(); ++j) {
    while (sorted[j] - sorted[first] > distance) {
      ++first;
    }
    pairs += j - first;
  }
  return static_cast<double>(pairs);
}

/// Pairs within a distance of `reach` slots, from the counts of slots that are pushed in order.
///
/// Both distances, w/2 and 5w/2, are whole numbers of slots. If an event lies anywhere in its slot with equal
/// likelihood, two events k slots apart differ by a triangular density on (k − 1, k + 1) slots around k. So all pairs
/// inside one slot and all with k < reach are within the distance, half of those with k = reach, and none beyond: the
/// counts are then unbiased, whatever the phase of the slots. Counted twice, they are integers.
class SlotPairs {
 public:
  explicit SlotPairs(std::int64_t reach) : reach_(reach) {}

  [[nodiscard]] std::int64_t reach() const { return reach_; }

  /// `count` of the next slot, and of the slot `reach` before it (0 before the first).
  void push(std::uint64_t count, std::uint64_t at_reach) {
    before_ -= at_reach;  // now the sum of the reach − 1 slots before this one
    twice_ += count * (count + 2 * before_ + at_reach) - count;
    before_ += count;
  }
  [[nodiscard]] double pairs() const { return static_cast<double>(twice_) / 2; }

 private:
  std::int64_t reach_;
  std::uint64_t before_ = 0;
  std::uint64_t twice_ = 0;
};

/// u(d): the share of pairs within d when events are uniform over the window.
double uniform_share(Nanoseconds distance, Nanoseconds window) {
  const double share = static_cast<double>(distance.count()) / static_cast<double>(window.count());
  return share * (2 - share);
}

}  // namespace

PairCounts count_pairs(std::span<const Instant> sorted, Nanoseconds width, Ties ties) {
  assert(width.count() > 0 && std::is_sorted(sorted.begin(), sorted.end()));
  const auto within = [&](Nanoseconds distance) {
    const double closed = pairs_within(sorted, distance);
    return ties == Ties::kInside ? closed : (closed + pairs_within(sorted, distance - Nanoseconds(1))) / 2;
  };
  return {.close = within(width / 2), .wide = within(5 * width / 2)};
}

BurstReading burst_reading(PairCounts pairs, Nanoseconds width, Nanoseconds window) {
  assert(width.count() > 0 && window >= 5 * width / 2 && pairs.close <= pairs.wide);
  BurstReading reading{.value = std::nullopt, .pairs = pairs};
  if (pairs.wide < kFewPairs) {
    return reading;
  }
  const double uniform = uniform_share(width / 2, window) / uniform_share(5 * width / 2, window);
  const double close = pairs.close / pairs.wide;
  // 1 − 1/BF with BF = close/uniform; no close pair at all is as far from a bunch as can be.
  reading.value = close <= uniform ? 0.0 : (1.0 - uniform / close) / (1.0 - 1.0 / 5.0);
  return reading;
}

void BurstIndex::add(Instant event) {
  constexpr auto kSpan = static_cast<std::int64_t>(kRing);
  const std::int64_t slot = slot_of(event);
  if (newest_ && slot <= *newest_ - kSpan) {
    ++dropped_;
    return;
  }
  if (!newest_ || slot >= *newest_ + kSpan) {
    counts_.fill(0);
    newest_ = slot;
  }
  for (; *newest_ < slot; ++*newest_) {
    counts_[cell_of(*newest_ + 1)] = 0;
  }
  ++counts_[cell_of(slot)];
}

void BurstIndex::clear() { *this = BurstIndex(); }

BurstReading BurstIndex::index(BurstWidth width, Instant now) const {
  const Nanoseconds w = duration(width);
  SlotPairs close(w / 2 / Slots(1));
  SlotPairs wide(5 * w / 2 / Slots(1));
  if (newest_) {
    const std::int64_t current = slot_of(now);
    const std::int64_t first = std::max(current - kWindowSlots, *newest_ - static_cast<std::int64_t>(kRing)) + 1;
    const std::int64_t last = std::min(current, *newest_);
    const auto count = [&](std::int64_t slot) { return slot < first ? 0U : counts_[cell_of(slot)]; };
    for (std::int64_t slot = first; slot <= last; ++slot) {
      close.push(count(slot), count(slot - close.reach()));
      wide.push(count(slot), count(slot - wide.reach()));
    }
  }
  return burst_reading({.close = close.pairs(), .wide = wide.pairs()}, w, burst_window(w));
}

std::optional<BurstIndex::Headline> BurstIndex::headline(Instant now) const {
  std::optional<Headline> headline;
  for (const BurstWidth width : {BurstWidth::k20ms, BurstWidth::k100ms, BurstWidth::k250ms}) {
    const std::optional<double> value = index(width, now).value;
    if (value && (!headline || *value > headline->value)) {
      headline = Headline{.value = *value, .width = width};
    }
  }
  return headline;
}

std::int64_t BurstIndex::slot_of(Instant time) { return std::chrono::floor<Slots>(time.time_since_epoch()).count(); }

}  // namespace tidewaiter::telemetry
