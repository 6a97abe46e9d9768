// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ratio>
#include <span>

#include "base/instant.h"

namespace tidewaiter::telemetry {

/// The scales w of the burst index.
enum class BurstWidth : std::uint8_t { k20ms, k100ms, k250ms, k500ms };

inline constexpr std::array kBurstWidths = {BurstWidth::k20ms, BurstWidth::k100ms, BurstWidth::k250ms,
                                            BurstWidth::k500ms};

/// w itself.
[[nodiscard]] constexpr base::Nanoseconds duration(BurstWidth width) {
  constexpr std::array<base::Milliseconds, kBurstWidths.size()> kDurations = {
      base::Milliseconds(20), base::Milliseconds(100), base::Milliseconds(250), base::Milliseconds(500)};
  return kDurations.at(static_cast<std::size_t>(width));
}

/// L = max(5 s, 10 w), the time over which pairs at scale w are counted.
[[nodiscard]] constexpr base::Nanoseconds burst_window(base::Nanoseconds width) {
  return std::max<base::Nanoseconds>(base::Seconds(5), 10 * width);
}

/// Pairs of events no further apart than w/2 (A) and than 5w/2 (B). Counts; slots make halves of them.
struct PairCounts {
  double close = 0;
  double wide = 0;

  bool operator==(const PairCounts&) const = default;
};

/// How much more crowded events are at scale w than at scale 5w.
struct BurstReading {
  std::optional<double> value;  ///< in [0, 1], 0 even, 1 bunched; absent: few, fewer than kFewPairs pairs at scale 5w
  PairCounts pairs;
};

inline constexpr double kFewPairs = 300;

/// What a pair is that lies exactly w/2 or 5w/2 apart. It matters for times on a grid, such as a schedule: there a
/// jitter of a microsecond throws half of those pairs out, which kHalf foresees, as the slots do.
enum class Ties : std::uint8_t { kInside, kHalf };

/// The exact pair counts of times in ascending order, for width > 0; kInside is the definition. Linear in their number.
[[nodiscard]] PairCounts count_pairs(std::span<const base::Instant> sorted, base::Nanoseconds width,
                                     Ties ties = Ties::kInside);

/// The burst index of pairs that were counted over a window of at least 5w/2. Formula: docs/design/bursts.md.
[[nodiscard]] BurstReading burst_reading(PairCounts pairs, base::Nanoseconds width, base::Nanoseconds window);

/// The burst index of the events of the last 5 s, such as retries, from counts in slots of 5 ms.
///
/// An event costs one increment, a reading one pass over 1000 slots, however many events there are. Times may come in
/// any order: those up to 5.1 s older than the newest are counted, older ones are dropped (and counted as such), so a
/// clock that steps back costs the events until it has caught up, or clear(). 4 kB.
///
/// Threads: none of its own; one writer, or a lock around it. Errors: none.
class BurstIndex {
 public:
  using Slots = std::chrono::duration<std::int64_t, std::ratio<5, 1000>>;

  struct Headline {
    double value = 0;
    BurstWidth width = BurstWidth::k20ms;  ///< the scale that it was read at
  };

  void add(base::Instant event);
  void clear();

  /// Over the slot of `now` and the 999 before it. Events in later slots do not count yet.
  [[nodiscard]] BurstReading index(BurstWidth width, base::Instant now) const;

  /// The largest of the values at 20, 100 and 250 ms; absent when all three are few.
  [[nodiscard]] std::optional<Headline> headline(base::Instant now) const;

  /// Events that were too old to be counted, since construction or clear().
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  static constexpr std::int64_t kWindowSlots = 1000;
  // A power of two; what it has beyond the window lets `now` lag 120 ms behind the newest event.
  static constexpr std::size_t kRing = 1024;
  static_assert(Slots(kWindowSlots) == burst_window(duration(BurstWidth::k500ms)));

  static std::int64_t slot_of(base::Instant time);
  static std::size_t cell_of(std::int64_t slot) { return static_cast<std::size_t>(slot) % kRing; }

  std::array<std::uint32_t, kRing> counts_{};  // of the slots (newest − kRing, newest]
  std::optional<std::int64_t> newest_;
  std::uint64_t dropped_ = 0;
};

}  // namespace tidewaiter::telemetry
