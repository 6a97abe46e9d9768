// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/instant.h"
#include "base/settings.h"

namespace tidewaiter::agent {

/// How long to wait between two windows: as configured, or longer where a pass costs more CPU than its share of that
/// time. Pure. Thread: the caller's.
class Pace {
 public:
  struct Options {
    double max_share = 0.05;  ///< of the interval that a pass may cost
  };
  [[nodiscard]] static std::vector<base::Setting> settings_of(Options& options);

  static constexpr base::Nanoseconds kLongest = base::Seconds(60);

  /// `interval` > 0.
  explicit Pace(base::Nanoseconds interval, Options options)
      : configured_(interval), now_(interval), options_(options) {}

  /// A pass cost this much CPU time. True when the interval changed with it: longer at once, shorter when passes have
  /// become clearly cheaper.
  bool note(base::Nanoseconds pass);

  [[nodiscard]] base::Nanoseconds interval() const { return now_; }
  [[nodiscard]] bool is_stretched() const { return now_ > configured_; }

  /// When the next window is due, after one that was due at `due` and is over at `now`: on the same beat, and not
  /// before half an interval from now.
  [[nodiscard]] base::Instant next(base::Instant due, base::Instant now) const;

  /// Windows that were due and never began, when `now` is long after `due`.
  [[nodiscard]] std::uint64_t skipped(base::Instant due, base::Instant now) const;

 private:
  base::Nanoseconds configured_;
  base::Nanoseconds now_;
  Options options_;
  double pass_ns_ = 0;  ///< follows a rise at once, a fall slowly
};

}  // namespace tidewaiter::agent
