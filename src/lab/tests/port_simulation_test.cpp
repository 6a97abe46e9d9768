// SPDX-License-Identifier: Apache-2.0
#include "lab/port_simulation.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "model/forecast.h"
#include "model/release_schedule.h"
#include "telemetry/pressure.h"
#include "telemetry/rates.h"

namespace tidewaiter::lab {
namespace {

using base::Milliseconds;
using base::Nanoseconds;
using base::Seconds;

const Nanoseconds kGranule = model::time_wait_granule(250);

std::uint32_t used(const PortSimulation& simulation, const PortSimulationOptions& options) {
  return static_cast<std::uint32_t>(options.hi - options.lo + 1) - simulation.free();
}

TEST(PortSimulation, holds_sixty_times_the_rate_in_steady_state) {
  PortSimulationOptions options;
  options.arrivals = Arrivals::kEven;
  PortSimulation simulation(options);
  simulation.advance(Seconds(90), 20);
  for (int second = 0; second < 120; ++second) {
    simulation.advance(Seconds(1), 20);
    EXPECT_GE(used(simulation, options), 60 * 20);
    EXPECT_LE(used(simulation, options), 63 * 20) << "one granule more than Little's law at most";
  }
}

TEST(PortSimulation, runs_out_above_the_rate_that_the_range_sustains_and_not_below) {
  PortSimulationOptions options;
  options.lo = 32'768;
  options.hi = 60'999;
  options.arrivals = Arrivals::kEven;
  EXPECT_EQ(PortSimulation(options).advance(Seconds(200), 28'232 / 62.1).failed, 0U) << "even if all clumps are late";
  EXPECT_GT(PortSimulation(options).advance(Seconds(200), model::sustainable_per_s(28'232) + 1).failed, 0U);
}

TEST(PortSimulation, uses_up_the_preferred_parity_first) {
  PortSimulationOptions options;
  options.arrivals = Arrivals::kEven;
  PortSimulation simulation(options);
  simulation.advance(Milliseconds(9'995), 100);
  EXPECT_EQ(simulation.free_preferred(), 1U);
  EXPECT_EQ(simulation.free(), 1'001U);
  const auto past_the_cliff = simulation.advance(Seconds(2), 100);
  EXPECT_EQ(simulation.free_preferred(), 0U);
  EXPECT_GE(past_the_cliff.probes, 199 * 1'000U) << "every connect looks at all preferred ports in vain";
}

TEST(PortSimulation, fails_only_while_no_port_is_free) {
  PortSimulationOptions options;
  options.arrivals = Arrivals::kEven;
  PortSimulation simulation(options);
  EXPECT_EQ(simulation.advance(Milliseconds(20'005), 100).failed, 0U);
  EXPECT_EQ(simulation.free(), 0U);
  const auto full = simulation.advance(Seconds(30), 100);
  EXPECT_EQ(full.failed, full.attempts);
  simulation.advance(Seconds(34), 0);
  EXPECT_GT(simulation.free(), 0U);
}

TEST(PortSimulation, frees_ports_in_clumps_up_to_one_granule_late) {
  PortSimulationOptions options;
  options.lifetime = Nanoseconds(0);
  PortSimulation simulation(options);
  simulation.advance(Seconds(5), 200);
  const std::uint32_t all = used(simulation, options);
  simulation.advance(Seconds(55), 0);
  EXPECT_EQ(used(simulation, options), all);
  int clumps = 0;
  for (int step = 0; step < 800; ++step) {
    const std::uint32_t before = used(simulation, options);
    simulation.advance(Milliseconds(10), 0);
    if (used(simulation, options) != before) ++clumps;
  }
  EXPECT_EQ(used(simulation, options), 0U);
  EXPECT_GE(clumps, 3);
  EXPECT_LE(clumps, 4) << "5 s of closes span three or four steps of 2.048 s";
}

TEST(PortSimulation, shows_what_a_look_would_show) {
  PortSimulationOptions options;
  options.lifetime = Seconds(1);
  options.pool = 7;
  options.start.steady = base::Instant(Seconds(1'000));
  PortSimulation simulation(options);
  const auto counts = simulation.advance(Seconds(30), 20);
  const telemetry::Sample sample = simulation.sample();
  ASSERT_EQ(sample.tuples.size(), 1U);
  const telemetry::TupleSample& tuple = sample.tuples[0];
  EXPECT_EQ(sample.at.steady, base::Instant(Seconds(1'030)));
  EXPECT_EQ(tuple.ports.size(), counts.attempts + 7);
  EXPECT_EQ(telemetry::pressure_of(tuple, sample.plan).free, simulation.free());
  EXPECT_EQ(telemetry::pressure_of(tuple, sample.plan).free_preferred, simulation.free_preferred());
  EXPECT_GT(tuple.counts.live, 7U);
  for (const telemetry::PortUse& use : tuple.ports) {
    EXPECT_EQ(use.is_mini_socket(), use.remaining_ms > 0);
    EXPECT_LE(use.remaining_ms, 60'000U);
  }
}

TEST(PortSimulation, shows_a_close_between_two_looks_as_one) {
  PortSimulationOptions options;
  options.lifetime = Seconds(1);
  options.arrivals = Arrivals::kEven;
  PortSimulation simulation(options);
  simulation.advance(Seconds(10), 10);
  const auto before = simulation.sample();
  simulation.advance(Seconds(1), 10);
  const auto after = simulation.sample();
  const auto flow = telemetry::flow_between(before.tuples[0], after.tuples[0], Seconds(1));
  EXPECT_EQ(flow.opened, 10U);
  EXPECT_EQ(flow.closed_to_time_wait, 10U);
  EXPECT_EQ(flow.closed_free, 0U);
}

TEST(PortSimulation, a_reset_leaves_no_time_wait) {
  PortSimulationOptions options;
  options.reset_share = 1;
  PortSimulation simulation(options);
  simulation.advance(Seconds(30), 100);
  simulation.advance(Seconds(1), 0);
  EXPECT_EQ(used(simulation, options), 0U);
}

TEST(PortSimulation, held_connections_grow) {
  PortSimulationOptions options;
  options.held_share = 0.5;
  PortSimulation simulation(options);
  const auto counts = simulation.advance(Seconds(50), 20);
  simulation.advance(Seconds(70), 0);
  EXPECT_NEAR(used(simulation, options), 0.5 * static_cast<double>(counts.attempts), 60);
  EXPECT_EQ(simulation.sample().tuples[0].counts.time_wait, 0U);
}

TEST(PortSimulation, a_limit_admits_its_rate) {
  PortSimulation simulation;
  const auto counts = simulation.advance(Seconds(100), 50, 10);
  EXPECT_NEAR(static_cast<double>(counts.attempts), 1'000, 10);
  EXPECT_EQ(counts.offered, counts.attempts + counts.refused_by_limit);
}

TEST(PortSimulation, is_the_same_run_for_the_same_seed_however_it_is_cut) {
  PortSimulationOptions options;
  options.arrivals = Arrivals::kEven;
  PortSimulation whole(options);
  PortSimulation cut(options);
  const auto expected = whole.advance(Seconds(100), 40);
  ConnectCounts counts;
  for (int i = 0; i < 100; ++i) counts += cut.advance(Seconds(1), 40);
  EXPECT_EQ(counts, expected);
  EXPECT_EQ(cut.free_preferred(), whole.free_preferred());
}

TEST(PortSimulation, loses_no_port_and_no_connect) {
  EXPECT_TRUE(rc::check("conservation", [] {
    PortSimulationOptions options;
    options.seed = *rc::gen::arbitrary<std::uint64_t>();
    options.hi = static_cast<std::uint16_t>(options.lo + *rc::gen::inRange(0, 500));
    options.reset_share = *rc::gen::inRange(0, 100) / 100.0;
    options.held_share = *rc::gen::inRange(0, 20) / 100.0;
    options.lifetime = Milliseconds(*rc::gen::inRange(0, 5'000));
    options.pool = static_cast<std::uint32_t>(*rc::gen::inRange(0, 20));
    PortSimulation simulation(options);
    const auto size = static_cast<std::uint32_t>(options.hi - options.lo + 1);
    for (int step = 0; step < 8; ++step) {
      const auto limit = *rc::gen::maybe(rc::gen::inRange(1, 50));
      const auto counts = simulation.advance(Milliseconds(*rc::gen::inRange(0, 20'000)), *rc::gen::inRange(0, 60),
                                             limit ? std::optional<double>(*limit) : std::nullopt);
      RC_ASSERT(counts.offered == counts.refused_by_limit + counts.attempts);
      RC_ASSERT(counts.failed <= counts.attempts);
      RC_ASSERT((limit || counts.refused_by_limit == 0));
      const telemetry::Sample sample = simulation.sample();
      const std::size_t in_use = sample.tuples.empty() ? 0 : sample.tuples[0].ports.size();
      RC_ASSERT(in_use + simulation.free() == size);
      const auto ports = sample.tuples.empty() ? telemetry::PortList() : sample.tuples[0].ports;
      for (const auto& use : ports) RC_ASSERT((use.port >= options.lo && use.port <= options.hi));
    }
    simulation.advance(options.lifetime + Seconds(60) + kGranule, 0);
    const telemetry::Sample rest = simulation.sample();
    RC_ASSERT((rest.tuples.empty() || rest.tuples[0].counts.time_wait == 0));
  }));
}

}  // namespace
}  // namespace tidewaiter::lab
