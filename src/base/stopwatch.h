// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ctime>

#include "base/instant.h"

namespace tidewaiter::base {

/// Measures what an operation itself cost, from its construction on: wall time, and CPU time of the calling thread.
/// The one reader of a clock outside the composition roots; never a source of `now`.
class Stopwatch {
 public:
  [[nodiscard]] Nanoseconds elapsed() const { return read(CLOCK_MONOTONIC) - wall_; }
  [[nodiscard]] Nanoseconds cpu() const { return read(CLOCK_THREAD_CPUTIME_ID) - cpu_; }

 private:
  static Nanoseconds read(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return Seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
  }

  Nanoseconds wall_ = read(CLOCK_MONOTONIC);
  Nanoseconds cpu_ = read(CLOCK_THREAD_CPUTIME_ID);
};

}  // namespace tidewaiter::base
