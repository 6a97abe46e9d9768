// SPDX-License-Identifier: Apache-2.0
//
// A constant rate that lasts, and no failure: yet connect() becomes a hundred times as dear and cheap again with the
// period of TIME_WAIT, as the preferred parity fills and empties.
#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <vector>

#include "lab/churn_client.h"
#include "lab/clock.h"
#include "lab/scenarios/all.h"
#include "lab/stage.h"
#include "lab/watch.h"

namespace tidewaiter::lab {
namespace {

constexpr std::uint16_t kLowestPort = 20'000;
constexpr std::uint32_t kPorts = 20'000;  // 10,000 even ones: 0.7 ms to look at all of them
constexpr double kShare = 0.75;           // of the rate that lasts: 250 connects/s
constexpr base::Nanoseconds kDuration = base::Seconds(154);
constexpr double kRatio = 10;  // of the port search, at the cliff and away from it

/// Seconds of the load. Half the ports last for 40 s; those that were taken then come back from 60 s on.
struct Phase {
  const char* name;
  double from_s;
  double to_s;
  bool is_cliff;
};
constexpr std::array kPhases{Phase{"before the first cliff", 10, 36, false}, Phase{"the first cliff", 45, 58, true},
                             Phase{"between the cliffs", 66, 94, false}, Phase{"the second cliff", 107, 118, true},
                             Phase{"after the second cliff", 126, 152, false}};

std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// What the agent and the client saw in one phase: medians.
struct PhaseFigures {
  std::optional<double> search_us;
  std::optional<double> pressure;  ///< of the preferred parity
  std::optional<double> connect_us;
};

PhaseFigures figures_of(const Phase& phase, const Watch& watch, const ChurnClient& client, double began_s,
                        base::Instant began) {
  std::vector<double> searches;
  std::vector<double> pressures;
  for (const SeenWindow& window : watch.windows()) {
    const double t_s = window.t_s - began_s;
    if (t_s < phase.from_s || t_s > phase.to_s) continue;
    const SeenTuple* const tuple = window.find(Endpoint().port);
    if (tuple == nullptr) continue;
    if (tuple->port_search_p95_us) searches.push_back(*tuple->port_search_p95_us);
    if (tuple->ppr_preferred) pressures.push_back(*tuple->ppr_preferred);
  }
  const auto connect =
      client.log().median_connect(began + from_seconds(phase.from_s), began + from_seconds(phase.to_s));
  PhaseFigures figures{median(searches), median(pressures), {}};
  if (connect) figures.connect_us = to_seconds(*connect) * 1e6;
  return figures;
}

std::string figure(const std::optional<double>& value, const char* unit) {
  return value ? fmt::format("{:.1f}{}", *value, unit) : "unknown";
}

void expect_cliffs(Context& context, const Watch& watch, const ChurnClient& client, base::Instant began) {
  std::array<PhaseFigures, kPhases.size()> figures;
  double dearest_calm_us = 0;
  double cheapest_cliff_us = 1e9;
  double fullest_calm = 0;
  double emptiest_cliff = 1;
  bool is_known = true;
  for (std::size_t i = 0; i < kPhases.size(); ++i) {
    const Phase& phase = kPhases.at(i);
    PhaseFigures& seen = figures.at(i);
    seen = figures_of(phase, watch, client, context.seconds_at(began), began);
    is_known = is_known && seen.search_us && seen.pressure;
    const double search = seen.search_us.value_or(0);
    const double pressure = seen.pressure.value_or(0);
    if (phase.is_cliff) {
      cheapest_cliff_us = std::min(cheapest_cliff_us, search);
      emptiest_cliff = std::min(emptiest_cliff, pressure);
    } else {
      dearest_calm_us = std::max(dearest_calm_us, search);
      fullest_calm = std::max(fullest_calm, pressure);
    }
    context.tell("phase", fmt::format("{}: port search p95 {}, preferred ports in use {}; connect() took the client {}",
                                      phase.name, figure(seen.search_us, " µs"),
                                      seen.pressure ? fmt::format("{:.2f} %", 100 * *seen.pressure) : "unknown",
                                      figure(seen.connect_us, " µs")));
  }
  context.expect(
      "port-search p95 at the cliffs and away from them", "10 times as long, twice",
      fmt::format("at most {:.1f} µs away from them, at least {:.1f} µs there", dearest_calm_us, cheapest_cliff_us),
      is_known && cheapest_cliff_us >= kRatio * dearest_calm_us);
  context.expect(
      "preferred ports in use at the cliffs and away from them", "all there, fewer away from them, twice",
      fmt::format("at least {:.2f} % there, at most {:.2f} % away from them", 100 * emptiest_cliff, 100 * fullest_calm),
      is_known && emptiest_cliff >= 0.999 && fullest_calm < emptiest_cliff);
}

void expect_no_failure(Context& context, const Watch& watch, const ChurnClient& client) {
  const auto totals = client.log().totals();
  context.expect("failures", "none", fmt::format("{} of {} connects", totals.failed, totals.attempts),
                 totals.failed == 0 && totals.attempts > 0);
  const SeenTuple* const tuple = watch.windows().back().find(Endpoint().port);
  const Tally seen = tuple != nullptr && tuple->connects ? *tuple->connects : Tally();
  const bool is_clean = std::all_of(seen.begin(), seen.end(), [](const auto& entry) {
    return entry.first == "attempts" || entry.first == "established" || entry.first == "syn_retransmits";
  });
  context.expect("failures, as the agent counts", "none", to_string(seen), is_clean && !seen.empty());
}

base::Result<void> run(Context& context) {
  auto stage = Stage::set(context, {.ports = kPorts, .lo = kLowestPort});
  if (!stage) return tl::unexpected(stage.error());
  Watch watch(context, stage->agent(), stage->destination().port);
  const bool sees_connects = watch.windows().back().connects.has_value();
  context.expect("the agent sees connects", "active", watch.windows().back().connect_source(), sees_connects);
  if (!sees_connects) return {};
  const double rate = kShare * sustainable_per_s(kPorts);
  context.tell("churn", fmt::format("a client connects {:.0f} times a second, three quarters of what {} ports sustain",
                                    rate, kPorts));
  const base::Instant began = read_clock();
  const auto client = ChurnClient::start(
      stage->topology().client(), {.server = stage->destination(), .seed = context.seed(), .load = constant(rate)});
  if (!client) return tl::unexpected(client.error());
  const auto look = [&](const SeenWindow& window) {
    const SeenTuple* const tuple = window.find(stage->destination().port);
    context.show_progress(to_seconds(read_clock() - began) / to_seconds(kDuration),
                          tuple == nullptr ? window.state
                                           : fmt::format("{}, port search p95 {}, {:.1f} % of the preferred ports",
                                                         window.state, figure(tuple->port_search_p95_us, " µs"),
                                                         100 * tuple->ppr_preferred.value_or(0)));
    return false;
  };
  if (auto done = watch.follow(began + kDuration, look); !done || !*done) {
    return done ? base::Result<void>() : tl::unexpected(done.error());
  }
  expect_cliffs(context, watch, **client, began);
  expect_no_failure(context, watch, **client);
  return stage->agent().stop();
}

}  // namespace

const Scenario kParityCliff{"parity-cliff",
                            "A constant rate without a failure: the cliff comes and goes every minute, and is seen",
                            base::Seconds(157), run};

}  // namespace tidewaiter::lab
