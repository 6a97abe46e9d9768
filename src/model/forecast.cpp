// SPDX-License-Identifier: Apache-2.0
#include "model/forecast.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tidewaiter::model {
namespace {

constexpr double kSlotSeconds = std::chrono::duration<double>(ReleaseSchedule::kSlot).count();
constexpr std::size_t kSlotsPerSecond = 100;
constexpr double kFarthestSeconds = 365.0 * 86'400;  // later than this is "never"
static_assert(kSlotsPerSecond * ReleaseSchedule::kSlot == base::Seconds(1));

base::Nanoseconds to_duration(double seconds) { return base::Nanoseconds(std::llround(seconds * 1e9)); }

/// Moves the free ports through one slot after the other.
class Walk {
 public:
  Walk(const ParityCounts& free_now, const Demand& demand, double preferred_capacity, double cliff_share)
      : free_(free_now),
        threshold_(preferred_capacity * cliff_share),
        arrivals_(demand.offered_per_s * kSlotSeconds),
        returns_(std::min(demand.returns_per_s, demand.offered_per_s) * kSlotSeconds),
        growth_(std::min(demand.growth_per_s, demand.offered_per_s) * kSlotSeconds) {
    if (demand.reused_after) balanced_from_ = static_cast<std::size_t>(*demand.reused_after / ReleaseSchedule::kSlot);
    note(0, 0);
  }

  /// Slots `first` to before `end`: arrivals and returns are spread over them, releases come at their end. One side of
  /// balanced_from().
  void advance(std::size_t first, std::size_t end, const ParityCounts& released) {
    const ParityCounts before = free_;
    const auto slots = static_cast<double>(end - first);
    // From the age of reuse on every close gives back what an arrival takes; only growth is left.
    const double needed = slots * (first >= balanced_from_ ? growth_ : arrivals_ - returns_);
    const double from_preferred = std::min(needed, free_.preferred);
    free_.preferred -= from_preferred;
    free_.other -= std::min(needed - from_preferred, free_.other);
    note_within(first, slots, before, needed);
    free_.preferred += released.preferred;
    free_.other += released.other;
  }

  [[nodiscard]] std::size_t balanced_from() const { return balanced_from_; }
  [[nodiscard]] const ParityCounts& free() const { return free_; }
  [[nodiscard]] double threshold() const { return threshold_; }
  std::optional<base::Nanoseconds> time_to_cliff;
  std::optional<base::Nanoseconds> time_to_exhaustion;

 private:
  [[nodiscard]] bool is_past_cliff() const { return free_.preferred < threshold_ || free_.preferred <= 0; }

  void note(std::size_t slot, double within) {
    const auto at = to_duration((static_cast<double>(slot) + within) * kSlotSeconds);
    if (!time_to_cliff && is_past_cliff()) time_to_cliff = at;
    if (!time_to_exhaustion && free_.total() <= 0) time_to_exhaustion = at;
  }

  /// The crossing inside the slots: where the straight line of consumption meets the level.
  void note_within(std::size_t first, double slots, const ParityCounts& before, double needed) {
    if (needed <= 0) return;
    if (!time_to_cliff && is_past_cliff()) {
      const double within = slots * std::clamp((before.preferred - threshold_) / needed, 0.0, 1.0);
      time_to_cliff = to_duration((static_cast<double>(first) + within) * kSlotSeconds);
    }
    if (!time_to_exhaustion && free_.total() <= 0) {
      const double within = slots * std::clamp(before.total() / needed, 0.0, 1.0);
      time_to_exhaustion = to_duration((static_cast<double>(first) + within) * kSlotSeconds);
    }
  }

  ParityCounts free_;
  double threshold_;
  double arrivals_;
  double returns_;
  double growth_;
  std::size_t balanced_from_ = std::numeric_limits<std::size_t>::max();
};

/// A level of `distance` ports that growth eats up after the horizon.
std::optional<base::Nanoseconds> by_growth(base::Nanoseconds horizon, double distance, double growth_per_s) {
  if (growth_per_s <= 0) return std::nullopt;
  const double seconds = distance / growth_per_s;
  if (seconds > kFarthestSeconds) return std::nullopt;
  return horizon + to_duration(seconds);
}

}  // namespace

Forecast forecast(const ParityCounts& free_now, const ReleaseSchedule& releases, const Demand& demand,
                  const telemetry::PortPlan& plan, const ForecastOptions& options) {
  Forecast result;
  Walk walk(free_now, demand, plan.preferred_capacity(), options.cliff_share);
  result.free_by_second.reserve(61);
  result.free_by_second.push_back(free_now);
  const auto& slots = releases.slots();
  // Nothing changes its course between two releases: most slots need no step of their own.
  std::size_t first = 0;
  std::size_t next_second = kSlotsPerSecond;
  for (std::size_t end = 1; end <= slots.size(); ++end) {
    const ParityCounts& released = slots[end - 1];
    const bool is_turn =
        released.total() > 0 || end == next_second || end == walk.balanced_from() || end == slots.size();
    if (!is_turn) continue;
    walk.advance(first, end, released);
    first = end;
    if (end != next_second) continue;
    next_second += kSlotsPerSecond;
    if (result.free_by_second.size() <= 60) result.free_by_second.push_back(walk.free());
  }
  result.time_to_cliff = walk.time_to_cliff;
  result.time_to_exhaustion = walk.time_to_exhaustion;
  if (!result.time_to_cliff) {
    result.time_to_cliff = by_growth(releases.horizon(), walk.free().preferred - walk.threshold(), demand.growth_per_s);
  }
  if (!result.time_to_exhaustion) {
    result.time_to_exhaustion = by_growth(releases.horizon(), walk.free().total(), demand.growth_per_s);
  }
  return result;
}

double sustainable_per_s(std::uint32_t ports) { return ports / (telemetry::kTimeWaitMs / 1000.0); }

}  // namespace tidewaiter::model
