// SPDX-License-Identifier: Apache-2.0
#include "base/instant.h"

#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <fmt/format.h>

namespace tidewaiter::base {
namespace {

struct Unit {
  std::string_view suffix;
  std::int64_t nanoseconds;
};

constexpr std::array<Unit, 6> kUnits{{{"ns", 1},
                                      {"us", 1'000},
                                      {"ms", 1'000'000},
                                      {"s", 1'000'000'000},
                                      {"m", 60'000'000'000},
                                      {"h", 3'600'000'000'000}}};

constexpr std::string_view kAllowed =
    "a duration is a number and a unit without a space: 250ms, 1s, 2m (ns us ms s m h)";
constexpr double kMaximumNs = 9e18;  // about 285 years, below the range of int64

}  // namespace

std::string to_rfc3339(WallTime time) {
  const auto since_epoch = std::chrono::floor<Milliseconds>(time).time_since_epoch();
  const auto seconds = std::chrono::floor<Seconds>(since_epoch);
  const std::time_t unix_seconds = seconds.count();
  std::tm parts{};
  gmtime_r(&unix_seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, (since_epoch - seconds).count());
}

Result<Nanoseconds> parse_duration(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  const std::string_view suffix(rest, static_cast<std::size_t>(end - rest));
  if (error == std::errc{} && std::isfinite(number) && number >= 0 && text.front() != '-') {
    for (const Unit& unit : kUnits) {
      const double total = number * static_cast<double>(unit.nanoseconds);
      if (suffix == unit.suffix && total < kMaximumNs) return Nanoseconds(std::llround(total));
    }
  }
  return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not a duration", text), std::string(kAllowed));
}

std::string format_duration(Nanoseconds duration) {
  const std::int64_t count = duration.count();
  if (count == 0) return "0s";
  for (auto unit = kUnits.rbegin(); unit != kUnits.rend(); ++unit) {
    if (count % unit->nanoseconds == 0) return fmt::format("{}{}", count / unit->nanoseconds, unit->suffix);
  }
  return fmt::format("{}ns", count);
}

std::string humane_duration(Nanoseconds duration) {
  using std::chrono::duration_cast;
  if (duration < Milliseconds(1)) return fmt::format("{} µs", duration_cast<Microseconds>(duration).count());
  if (duration < Seconds(1)) return fmt::format("{} ms", duration_cast<Milliseconds>(duration).count());
  const auto seconds = duration_cast<Seconds>(duration).count();
  if (seconds < 10) return fmt::format("{:.1f} s", static_cast<double>(duration.count()) / 1e9);
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  if (seconds < 86'400) return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{} d {} h", seconds / 86'400, seconds / 3600 % 24);
}

}  // namespace tidewaiter::base
