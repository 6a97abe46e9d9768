// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tidewaiter::base {

using Nanoseconds = std::chrono::nanoseconds;
using Microseconds = std::chrono::microseconds;
using Milliseconds = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;

/// Monotonic time since boot. Operations take one as `now`; only composition roots read a clock.
using Instant = std::chrono::time_point<std::chrono::steady_clock, Nanoseconds>;

/// Civil time, UTC, for records that leave the process.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Nanoseconds>;

/// Both clocks, read together at a root.
struct Moment {
  Instant steady;
  WallTime wall;
};

/// RFC 3339, UTC, milliseconds: "2026-11-21T04:13:10.568Z".
[[nodiscard]] std::string to_rfc3339(WallTime time);

/// "250ms", "1s", "2m", "1h", "40us", "10ns"; a decimal point is allowed ("1.5s"). No sign, no spaces.
/// Errors: kInvalidArgument, with what is allowed.
[[nodiscard]] Result<Nanoseconds> parse_duration(std::string_view text);

/// The shortest exact form that parse_duration reads back: "1s", "250ms".
[[nodiscard]] std::string format_duration(Nanoseconds duration);

/// A duration for people, two significant parts at most: "59 s", "4 min 12 s", "2 h 5 min".
[[nodiscard]] std::string humane_duration(Nanoseconds duration);

}  // namespace tidewaiter::base
