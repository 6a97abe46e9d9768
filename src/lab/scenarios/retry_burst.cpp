// SPDX-License-Identifier: Apache-2.0
//
// 200 workers whose peer has gone. Retries in step are a burst, the same number spread by full jitter is none.
#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <thread>
#include <vector>

#include "lab/clock.h"
#include "lab/retry_workers.h"
#include "lab/scenarios/all.h"
#include "lab/stage.h"
#include "lab/watch.h"

namespace tidewaiter::lab {
namespace {

constexpr std::uint32_t kWorkers = 200;
constexpr std::uint16_t kClosed = 9'100;
constexpr base::Nanoseconds kDuration = base::Seconds(20);
constexpr base::Nanoseconds kSpread = base::Seconds(2);
constexpr double kBurst = 0.5;
constexpr double kNoBurst = 0.15;
constexpr double kInStepFrom_s = 5;    // by then the index looks back at nothing but steps
constexpr double kJitteredFrom_s = 2;  // by then the common beginning is over

/// Workers of one process that begin together look like retries of each other: the second answers the failure of the
/// first. So those that use full jitter do so from their first attempt on; a process for each worker need not.
struct Layout {
  const char* name;
  RetryPattern pattern;
  std::uint32_t processes;
  base::Nanoseconds begin{0};
};

const std::vector<Layout> kLayouts{
    {"in step, 4 processes", RetryPattern::kInStep, 4},
    {"in step, 1 process", RetryPattern::kInStep, 1},
    {"full jitter, 4 processes", RetryPattern::kFullJitter, 4, kSpread},
    {"full jitter, 1 process", RetryPattern::kFullJitter, 1, kSpread},
    {"full jitter after a common failure, 200 processes", RetryPattern::kFullJitter, kWorkers}};

RetryOptions retries_of(const Layout& layout, std::uint64_t seed) {
  RetryOptions options;
  options.server.port = kClosed;
  options.timing.pattern = layout.pattern;
  if (layout.pattern == RetryPattern::kFullJitter) options.timing.period = kSpread;
  options.timing.begin = layout.begin;
  options.processes = layout.processes;
  options.workers = kWorkers / layout.processes;
  options.seed = seed;
  return options;
}

/// What the agent said while the workers retried.
struct Seen {
  base::Result<void> outcome;
  ErrorCounts clients;
  std::size_t windows = 0;  ///< from when on the index counts
  std::size_t unknown = 0;  ///< of these, without an index
  double lowest = 1;
  double highest = 0;
  double retry_rate_per_s = 0;  ///< in the last window
  std::string worst = "GREEN";
  bool is_burst = false;  ///< ORANGE or worse, and the index is a reason
  bool are_orders_bound = false;
};

bool has_burst_reason(const std::vector<SeenReason>& reasons) {
  return std::any_of(reasons.begin(), reasons.end(),
                     [](const SeenReason& reason) { return reason.condition == "rbi"; });
}

void note(const SeenTuple& tuple, Seen& seen) {
  const int severity = severity_of(tuple.state).value_or(0);
  if (severity > severity_of(seen.worst).value_or(0)) seen.worst = tuple.state;
  seen.is_burst = seen.is_burst || (severity >= kOrange && has_burst_reason(tuple.reasons));
  seen.are_orders_bound = seen.are_orders_bound || tuple.order_state != "GREEN";
  seen.retry_rate_per_s = tuple.retry_rate_per_s.value_or(0);
}

void note_index(const SeenTuple& tuple, Seen& seen) {
  ++seen.windows;
  if (!tuple.rbi) ++seen.unknown;
  seen.lowest = std::min(seen.lowest, tuple.rbi.value_or(1));
  seen.highest = std::max(seen.highest, tuple.rbi.value_or(0));
}

Seen play(Context& context, const Layout& layout) {
  Seen seen;
  const auto follow = [&]() -> base::Result<void> {
    auto stage = Stage::set(context);
    if (!stage) return tl::unexpected(stage.error());
    Watch watch(context, stage->agent(), kClosed, fmt::format("[{}] ", layout.name));
    if (!watch.windows().back().connects) {
      return base::fail(base::ErrorCode::kUnavailable, "the agent sees no connects",
                        watch.windows().back().connect_source());
    }
    const auto workers = RetryWorkers::start(stage->topology().client(), retries_of(layout, context.seed()));
    if (!workers) return tl::unexpected(workers.error());
    const base::Instant began = read_clock();
    const double from_s = layout.pattern == RetryPattern::kInStep ? kInStepFrom_s : kJitteredFrom_s;
    const auto look = [&](const SeenWindow& window) {
      const SeenTuple* tuple = window.find(kClosed);
      if (tuple == nullptr) return false;
      note(*tuple, seen);
      if (window.t_s >= context.seconds_at(began) + from_s) note_index(*tuple, seen);
      context.show_progress(to_seconds(read_clock() - began) / to_seconds(kDuration), window.state);
      return false;
    };
    const auto done = watch.follow(began + kDuration, look);
    seen.clients = workers->seen();
    if (!done) return tl::unexpected(done.error());
    return *done ? stage->agent().stop() : base::Result<void>();
  };
  seen.outcome = follow();
  return seen;
}

void expect_clients(Context& context, const std::string& name, const Seen& seen) {
  const auto refused = seen.clients.find(ECONNREFUSED);
  const double tries = static_cast<double>(kWorkers) * to_seconds(kDuration);  // one a second each, on average
  context.expect(
      name + ": what the workers saw", "refusals alone, about 4,000", to_string(seen.clients),
      seen.clients.size() == 1 && refused != seen.clients.end() && static_cast<double>(refused->second) > 0.85 * tries);
  context.expect(name + ": retries recognised", "170 to 230 a second",
                 fmt::format("{:.0f} a second", seen.retry_rate_per_s),
                 seen.retry_rate_per_s > 170 && seen.retry_rate_per_s < 230);
}

void expect_index(Context& context, const Layout& layout, const Seen& seen) {
  const std::string name = layout.name;
  const std::string range = fmt::format("{:.3f} to {:.3f} in {} windows, unknown in {}", seen.lowest, seen.highest,
                                        seen.windows, seen.unknown);
  const bool is_enough = seen.windows - seen.unknown >= 12;
  if (layout.pattern == RetryPattern::kInStep) {
    context.expect(name + ": retry burst index", "at least 0.5 in every window after the fifth second", range,
                   is_enough && seen.unknown == 0 && seen.lowest >= kBurst);
    context.expect(name + ": a burst", "ORANGE, and the index is a reason",
                   fmt::format("{}, {}", seen.worst, seen.is_burst ? "it is" : "it is not"), seen.is_burst);
  } else {
    context.expect(name + ": retry burst index", "below 0.15 in every window after the second second", range,
                   is_enough && seen.highest < kNoBurst);
    context.expect(name + ": no burst", "never ORANGE for the index", seen.is_burst ? "ORANGE for it" : "never",
                   !seen.is_burst);
  }
  context.expect(name + ": orders, as it is the peer's doing", "not bound",
                 seen.are_orders_bound ? "bound" : "not bound", !seen.are_orders_bound);
}

base::Result<void> run(Context& context) {
  context.tell("stage", fmt::format("{} workers are refused by a closed port and try again, once a second on average; "
                                    "side by side, each with an agent of its own: in step within 40 ms, and spread by "
                                    "full jitter over 2 s",
                                    kWorkers));
  std::vector<Seen> seen(kLayouts.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kLayouts.size(); ++i) {
    threads.emplace_back([&, i] { seen[i] = play(context, kLayouts[i]); });
  }
  for (std::thread& thread : threads) thread.join();
  if (context.is_interrupted()) return {};
  for (std::size_t i = 0; i < kLayouts.size(); ++i) {
    if (!seen[i].outcome) return base::wrap(seen[i].outcome.error(), kLayouts[i].name);
    expect_clients(context, kLayouts[i].name, seen[i]);
    expect_index(context, kLayouts[i], seen[i]);
  }
  return {};
}

}  // namespace

const Scenario kRetryBurst{"retry-burst", "Retries in step are a burst and ORANGE; spread by full jitter they are none",
                           base::Seconds(24), run};

}  // namespace tidewaiter::lab
