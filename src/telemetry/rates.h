// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/instant.h"
#include "base/settings.h"
#include "telemetry/connect_tracker.h"
#include "telemetry/sample.h"

namespace tidewaiter::telemetry {

/// What happened to the ports of one tuple between two looks, as far as the two looks show it: a connection that came
/// and went without a TIME_WAIT in between is not in it.
struct PortFlow {
  std::uint32_t opened = 0;               ///< connections that took a port
  std::uint32_t closed_to_time_wait = 0;  ///< of all: that closed and left a mini-socket
  std::uint32_t closed_free = 0;  ///< that closed and gave their port back at once (reset, or the peer closed first)
  base::Nanoseconds elapsed{0};   ///< between the looks, > 0
  std::uint32_t live = 0;         ///< live connections at the later look

  [[nodiscard]] double per_second(std::uint32_t count) const {
    return static_cast<double>(count) / std::chrono::duration<double>(elapsed).count();
  }

  /// Net growth of live connections per second where it is more than chance (two standard deviations of the two
  /// counts as Poisson), else 0.
  [[nodiscard]] double growth_per_s() const;
};

/// Compares two looks at one tuple. `before` may be empty (a tuple seen for the first time). `elapsed` > 0.
[[nodiscard]] PortFlow flow_between(const TupleSample& before, const TupleSample& after, base::Nanoseconds elapsed);

/// Where a port stands in a list, by its number: 256 KB that many comparisons share. Empty or all 0 between them.
using PortPlaces = std::vector<std::uint32_t>;
[[nodiscard]] PortFlow flow_between(const TupleSample& before, const TupleSample& after, base::Nanoseconds elapsed,
                                    PortPlaces& places);

/// Offered load of one tuple in connects per second: an exponentially weighted slow rate that begins anew when a fast
/// one rises above it by more than chance, for more than a second. So a jump is followed at once and then averaged from
/// the jump on, a burst is remembered while it fades, and a steady load is not overstated (the larger of two rates
/// would, by a tenth at 30/s, which makes a controller near its threshold cycle). What we refused ourselves or hold
/// queued is offered too; leaving it out would look like relief.
class DemandEstimator {
 public:
  struct Options {
    base::Nanoseconds fast = base::Seconds(2);   ///< time constant that notices a rise
    base::Nanoseconds slow = base::Seconds(10);  ///< time constant that the rate is averaged over
  };

  /// The settings of the estimator, bound to `options`.
  [[nodiscard]] static std::vector<base::Setting> settings_of(Options& options);

  DemandEstimator() = default;
  explicit DemandEstimator(Options options) : options_(options) {}

  /// `offered` = attempted + refused by us + queued during `elapsed` > 0.
  void update(double offered, base::Nanoseconds elapsed);

  /// Absent before the first update.
  [[nodiscard]] std::optional<double> per_second() const;

 private:
  Options options_{};
  /// An exponentially weighted mean of rates. The weight seen so far is kept beside it, so that the first window counts
  /// no more than any other of its length.
  struct Mean {
    double weighted = 0;
    double weight = 0;
    void add(double rate, base::Nanoseconds elapsed, base::Nanoseconds time_constant);
    [[nodiscard]] double value() const { return weighted / weight; }
  };
  Mean fast_;
  Mean slow_;
  base::Nanoseconds risen_for_{
      0};  ///< how long connects have come faster than the slow rate, while the fast one says so
};

/// What is known of the load on one tuple.
struct TupleDemand {
  PortFlow flow;  ///< between the last two looks
  DemandEstimator offered;
};

/// Load that left no connection between two looks.
struct UnmetLoad {
  const Connects* connects = nullptr;                       ///< of the window; null where no source sees them
  const std::map<Tuple, std::uint32_t>* refused = nullptr;  ///< by programs' own budgets, in the window
};

/// Follows the load on every tuple from look to look. Tuples that are gone are forgotten.
class DemandTracker {
 public:
  explicit DemandTracker(DemandEstimator::Options options = {}) : options_(options) {}

  /// Two successive looks at one namespace. Looks in the wrong order, or at the same instant, change nothing.
  /// A tuple that appears between later looks had no load before. While a tuple has no free port its load cannot be
  /// seen (what fails leaves no socket): the estimate then rises but does not fall.
  /// `unmet`: what found no port, or was refused by its own program, between the looks; it is load too. Where connects
  /// are seen the estimate follows what was offered also while no port is free.
  void observe(const Sample& before, const Sample& after, const UnmetLoad& unmet = {});

  /// Null for a tuple that was not in the last look, and for all before the first pair of looks.
  [[nodiscard]] const TupleDemand* find(const Tuple& tuple) const;

 private:
  DemandEstimator::Options options_;
  std::unordered_map<Tuple, TupleDemand> tuples_;
  PortPlaces places_;
  bool has_history_ = false;
};

}  // namespace tidewaiter::telemetry
