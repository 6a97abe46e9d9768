// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ctime>

#include "base/instant.h"

namespace tidewaiter::base {

/// Measures what an operation itself took since it was made. The one reader of clocks outside the composition roots,
/// and never a source of `now`.
template <clockid_t kClock>
class BasicStopwatch {
 public:
  [[nodiscard]] Nanoseconds elapsed() const { return read() - started_; }

 private:
  static Nanoseconds read() {
    timespec time{};
    clock_gettime(kClock, &time);
    return Seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
  }

  Nanoseconds started_ = read();
};

/// Wall time; reading it costs no system call.
using Stopwatch = BasicStopwatch<CLOCK_MONOTONIC>;

/// CPU time of the calling thread, kernel and user; each reading is a system call.
using CpuStopwatch = BasicStopwatch<CLOCK_THREAD_CPUTIME_ID>;

}  // namespace tidewaiter::base
