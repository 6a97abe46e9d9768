// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/instant.h"
#include "store/database.h"

namespace tidewaiter::store {

enum class RollUpPeriod : std::uint8_t { kTenSeconds, kMinute };

/// Keeps one roll-up table up to date: a run of windows is summed up when the first window beyond its bucket arrives.
/// The table of minutes is made of the table of ten seconds, so the latter has to be advanced first.
class RollUp {
 public:
  /// Takes up the run that was open when the file was closed.
  [[nodiscard]] static base::Result<RollUp> open(Database& database, RollUpPeriod period);

  /// To be called before window `window` is inserted, inside its transaction.
  [[nodiscard]] base::Result<void> advance(std::uint64_t window, std::int64_t at_ns);

  /// The first window that is still needed to finish a run; absent when there is none.
  [[nodiscard]] std::optional<std::uint64_t> first_needed() const {
    return run_ ? std::optional(run_->first) : std::nullopt;
  }

 private:
  struct Run {
    std::uint64_t first = 0;
    std::int64_t bucket = 0;
  };

  [[nodiscard]] std::int64_t bucket_of(std::int64_t at_ns) const;
  [[nodiscard]] base::Result<void> close_run(std::uint64_t last);

  base::Nanoseconds period_{};
  Statement sum_up_;
  Statement note_;
  std::optional<Run> run_;
};

}  // namespace tidewaiter::store
