// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "base/instant.h"

namespace tidewaiter::lab {

/// One connect() as the application saw it.
struct Attempt {
  base::Instant at;              ///< when connect() was called
  base::Nanoseconds took;        ///< inside connect(), and in the choice of a port
  int error = 0;                 ///< errno; 0 = connected
  std::uint16_t local_port = 0;  ///< 0 when not connected
};

struct AttemptTotals {
  std::uint64_t offered = 0;
  std::uint64_t refused_by_limit = 0;  ///< of offered: never attempted
  std::uint64_t attempts = 0;
  std::uint64_t failed = 0;
};

/// What became of every connect that a client wanted to make. Threads: all.
class AttemptLog {
 public:
  void add(const Attempt& attempt);
  void add_refusal();

  [[nodiscard]] AttemptTotals totals() const;
  [[nodiscard]] std::vector<Attempt> attempts() const;  ///< a copy, in order of time

  /// When the first attempt with this errno was made.
  [[nodiscard]] std::optional<base::Instant> first_failure(int error) const;

  /// The cliff: when connect() first gave a port of the other parity than `preferred` has.
  [[nodiscard]] std::optional<base::Instant> first_of_other_parity(std::uint16_t preferred) const;

  /// Median time in connect() of the attempts of [from, to) that connected.
  [[nodiscard]] std::optional<base::Nanoseconds> median_connect(base::Instant from, base::Instant to) const;

  /// Attempts of [from, to) that failed.
  [[nodiscard]] std::uint64_t failures_between(base::Instant from, base::Instant to) const;

 private:
  mutable std::mutex mutex_;
  std::vector<Attempt> attempts_;
  AttemptTotals totals_;
};

}  // namespace tidewaiter::lab
