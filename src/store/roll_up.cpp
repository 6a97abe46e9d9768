// SPDX-License-Identifier: Apache-2.0
#include "store/roll_up.h"

#include <fmt/format.h>

namespace tidewaiter::store {
namespace {

// The state of the greatest severity: the two are compared as one text, then the number is cut off again.
constexpr const char* kFromWindows = R"sql(
INSERT INTO window_10s
SELECT ?1, ?2, ?3, scope, netns, src, dst, dport,
  substr(max(printf('%06d%s', severity, state)), 7), max(severity), count(*), count(p_stress),
  avg(p_stress), max(p_stress), max(ppr), min(free), min(time_to_exhaustion_s), max(demand_per_s),
  sum(established), sum(failed_local), sum(failed_peer), sum(failed_other), max(port_search_p95_us)
FROM window WHERE window BETWEEN ?1 AND ?2 GROUP BY scope, netns, src, dst, dport)sql";

constexpr const char* kFromTenSeconds = R"sql(
INSERT INTO window_60s
SELECT ?1, ?2, ?3, scope, netns, src, dst, dport,
  substr(max(printf('%06d%s', worst_severity, worst_state)), 7), max(worst_severity), sum(windows), sum(p_windows),
  sum(p_mean * p_windows) / sum(p_windows), max(p_max), max(ppr_max), min(free_min), min(time_to_exhaustion_min_s),
  max(demand_max_per_s), sum(established), sum(failed_local), sum(failed_peer), sum(failed_other), max(port_search_p95_max_us)
FROM window_10s WHERE window BETWEEN ?1 AND ?2 GROUP BY scope, netns, src, dst, dport)sql";

struct Level {
  base::Nanoseconds period;
  const char* sum_up;
  const char* source;
  const char* covered;  ///< column of meta
};

constexpr Level kTenSeconds{base::Seconds(10), kFromWindows, "window", "rolled_10s"};
constexpr Level kMinute{base::Seconds(60), kFromTenSeconds, "window_10s", "rolled_60s"};

}  // namespace

base::Result<RollUp> RollUp::open(Database& database, RollUpPeriod period) {
  const Level& level = period == RollUpPeriod::kTenSeconds ? kTenSeconds : kMinute;
  RollUp roll_up;
  roll_up.period_ = level.period;
  auto sum_up = database.prepare(level.sum_up);
  if (!sum_up) return tl::unexpected(sum_up.error());
  roll_up.sum_up_ = std::move(*sum_up);
  auto note = database.prepare(fmt::format("UPDATE meta SET {} = ?1", level.covered));
  if (!note) return tl::unexpected(note.error());
  roll_up.note_ = std::move(*note);

  // A minute may have begun with windows that are not yet summed up to ten seconds; those count as well.
  auto open_run = database.prepare(
      fmt::format("SELECT window, at_ns FROM {0} WHERE window > (SELECT {1} FROM meta) UNION ALL "
                  "SELECT window, at_ns FROM window WHERE window > (SELECT {1} FROM meta) ORDER BY window LIMIT 1",
                  level.source, level.covered));
  if (!open_run) return tl::unexpected(open_run.error());
  const auto found = open_run->step();
  if (!found) return tl::unexpected(found.error());
  if (*found) {
    Run run;
    std::int64_t at_ns = 0;
    open_run->read(0, run.first);
    open_run->read(1, at_ns);
    run.bucket = roll_up.bucket_of(at_ns);
    roll_up.run_ = run;
  }
  return roll_up;
}

base::Result<void> RollUp::advance(std::uint64_t window, std::int64_t at_ns) {
  const std::int64_t bucket = bucket_of(at_ns);
  if (run_ && run_->bucket == bucket) return {};
  if (run_) {
    if (auto closed = close_run(window - 1); !closed) return closed;
  }
  run_ = Run{window, bucket};
  return {};
}

std::int64_t RollUp::bucket_of(std::int64_t at_ns) const {
  const std::int64_t period = period_.count();
  return at_ns / period - (at_ns % period < 0 ? 1 : 0);
}

base::Result<void> RollUp::close_run(std::uint64_t last) {
  sum_up_.bind(1, run_->first);
  sum_up_.bind(2, last);
  sum_up_.bind(3, run_->bucket * period_.count());
  if (auto done = sum_up_.finish(); !done) return done;
  note_.bind(1, last);
  return note_.finish();
}

}  // namespace tidewaiter::store
