// SPDX-License-Identifier: Apache-2.0
#include "telemetry/rates.h"

#include <cmath>
#include <gtest/gtest.h>
#include <random>

namespace tidewaiter::telemetry {
namespace {

using base::Milliseconds;
using base::Seconds;

TupleSample with(std::vector<PortUse> ports) {
  TupleSample sample;
  sample.ports = PortList(std::move(ports));
  return sample;
}

PortUse live(std::uint16_t port, std::uint64_t cookie) { return {cookie, 0, port, PortHolder::kLive, false}; }
PortUse time_wait(std::uint16_t port, std::uint64_t cookie) {
  return {cookie, 50'000, port, PortHolder::kTimeWait, false};
}

void expect_flow(const TupleSample& before, const TupleSample& after, std::uint32_t opened, std::uint32_t to_time_wait,
                 std::uint32_t closed_free) {
  const PortFlow flow = flow_between(before, after, Seconds(1));
  EXPECT_EQ(flow.opened, opened);
  EXPECT_EQ(flow.closed_to_time_wait, to_time_wait);
  EXPECT_EQ(flow.closed_free, closed_free);
}

TEST(PortFlow, sees_each_way_a_port_can_change_hands) {
  expect_flow(with({}), with({live(1, 1)}), 1, 0, 0);
  expect_flow(with({}), with({time_wait(1, 1)}), 1, 1, 0);                 // opened and closed between the looks
  expect_flow(with({live(1, 1)}), with({live(1, 1)}), 0, 0, 0);            // the same connection
  expect_flow(with({live(1, 1)}), with({live(1, 2)}), 1, 0, 1);            // reset, and the port given again
  expect_flow(with({live(1, 1)}), with({time_wait(1, 2)}), 0, 1, 0);       // closed
  expect_flow(with({live(1, 1)}), with({}), 0, 0, 1);                      // reset, or the peer closed first
  expect_flow(with({time_wait(1, 1)}), with({time_wait(1, 1)}), 0, 0, 0);  // still waiting
  expect_flow(with({time_wait(1, 1)}), with({time_wait(1, 2)}), 1, 1, 0);  // released, given, closed
  expect_flow(with({time_wait(1, 1)}), with({live(1, 2)}), 1, 0, 0);       // released or reused, and given
  expect_flow(with({time_wait(1, 1)}), with({}), 0, 0, 0);                 // released
}

TEST(PortFlow, compares_unsorted_looks_port_by_port) {
  expect_flow(with({live(9, 1), live(3, 2), time_wait(5, 3)}), with({live(7, 4), live(3, 2), live(5, 6)}), 2, 0, 1);
}

TEST(PortFlow, comparison_leaves_nothing_behind_for_the_next) {
  PortPlaces places;
  const auto first = with({live(1, 1), live(2, 2), time_wait(3, 3)});
  const auto second = with({live(2, 2), time_wait(3, 9), live(4, 4)});
  for (int i = 0; i < 2; ++i) {
    const PortFlow flow = flow_between(first, second, Seconds(1), places);
    EXPECT_EQ(flow.opened, 2U);
    EXPECT_EQ(flow.closed_to_time_wait, 1U);
    EXPECT_EQ(flow.closed_free, 1U);
  }
  EXPECT_EQ(flow_between(with({}), with({live(1, 1)}), Seconds(1), places).opened, 1U);
}

TEST(PortFlow, speaks_per_second) {
  PortFlow flow = flow_between(with({}), with({live(1, 1), live(2, 2)}), Milliseconds(500));
  EXPECT_DOUBLE_EQ(flow.per_second(flow.opened), 4.0);
}

TEST(PortFlow, calls_growth_only_what_is_more_than_chance) {
  PortFlow flow;
  flow.elapsed = Seconds(1);
  flow.opened = 110;
  flow.closed_to_time_wait = 100;
  EXPECT_DOUBLE_EQ(flow.growth_per_s(), 0.0);
  flow.opened = 200;
  EXPECT_DOUBLE_EQ(flow.growth_per_s(), 100.0);
  flow.opened = 10;
  EXPECT_DOUBLE_EQ(flow.growth_per_s(), 0.0);
}

TEST(DemandEstimator, knows_nothing_before_the_first_update) { EXPECT_FALSE(DemandEstimator().per_second()); }

TEST(DemandEstimator, rises_fast_and_falls_slowly) {
  DemandEstimator estimator;
  estimator.update(10, Seconds(1));
  EXPECT_DOUBLE_EQ(*estimator.per_second(), 10.0);
  for (int i = 0; i < 10; ++i) estimator.update(400, Seconds(1));
  EXPECT_GT(*estimator.per_second(), 370.0);
  for (int i = 0; i < 10; ++i) estimator.update(0, Seconds(1));
  EXPECT_GT(*estimator.per_second(), 80.0) << "the slow rate remembers the burst";
  for (int i = 0; i < 300; ++i) estimator.update(0, Seconds(1));
  EXPECT_LT(*estimator.per_second(), 0.1);
}

TEST(DemandEstimator, does_not_overstate_a_steady_load) {
  std::mt19937_64 random(1);
  std::poisson_distribution<int> arrivals(33);
  DemandEstimator estimator;
  double sum = 0;
  constexpr int kSeconds = 2'000;
  for (int i = 0; i < kSeconds; ++i) {
    estimator.update(arrivals(random), Seconds(1));
    sum += *estimator.per_second();
  }
  EXPECT_NEAR(sum / kSeconds, 33, 0.66);
}

TEST(DemandEstimator, follows_a_jump_at_once) {
  DemandEstimator estimator;
  for (int i = 0; i < 60; ++i) estimator.update(33, Seconds(1));
  estimator.update(99, Seconds(1));
  estimator.update(99, Seconds(1));
  EXPECT_GT(*estimator.per_second(), 70);
}

TEST(DemandEstimator, does_not_take_a_burst_of_one_window_for_demand) {
  for (const int windows_per_s : {1, 10}) {
    const auto window = base::Nanoseconds(Seconds(1)) / windows_per_s;
    DemandEstimator estimator;
    estimator.update(0, Seconds(100));
    estimator.update(800, window);
    for (int i = 0; i < 2 * windows_per_s; ++i) {
      EXPECT_LT(*estimator.per_second(), 100) << "a pool that opens its connections at once";
      estimator.update(0, window);
    }
  }
}

TEST(DemandEstimator, averages_from_a_jump_on) {
  DemandEstimator estimator;
  estimator.update(0, Seconds(100));
  for (int i = 0; i < 15; ++i) estimator.update(53, Seconds(1));
  EXPECT_NEAR(*estimator.per_second(), 53, 1.5);
}

TEST(DemandEstimator, gives_the_first_window_no_more_weight_than_the_others) {
  DemandEstimator estimator;
  estimator.update(4'000, Seconds(1));
  for (int i = 0; i < 25; ++i) estimator.update(330, Seconds(1));
  EXPECT_LT(*estimator.per_second(), 400.0);
}

TEST(DemandEstimator, does_not_depend_on_how_often_it_is_asked) {
  DemandEstimator coarse;
  DemandEstimator fine;
  coarse.update(100, Seconds(1));
  fine.update(100, Seconds(1));
  for (int i = 0; i < 10; ++i) coarse.update(200, Seconds(1));
  for (int i = 0; i < 100; ++i) fine.update(20, Milliseconds(100));
  EXPECT_NEAR(*coarse.per_second(), *fine.per_second(), 1e-6);
}

TEST(DemandTracker, follows_tuples_from_look_to_look_and_forgets_those_that_are_gone) {
  const auto look = [](int second, std::vector<TupleSample> tuples) {
    Sample sample;
    sample.at.steady = base::Instant(Seconds(second));
    sample.tuples = std::move(tuples);
    return sample;
  };
  TupleSample venue = with({live(1, 1)});
  venue.tuple.destination_port = 9000;
  TupleSample risk = with({live(2, 2), live(4, 4)});
  risk.tuple.destination_port = 9001;

  DemandTracker tracker;
  const Sample first = look(0, {venue});
  const Sample second = look(1, {venue, risk});
  tracker.observe(first, second);
  ASSERT_NE(tracker.find(risk.tuple), nullptr);
  EXPECT_EQ(tracker.find(risk.tuple)->flow.opened, 2U);
  EXPECT_EQ(tracker.find(venue.tuple)->flow.opened, 0U);
  tracker.observe(second, first);  // a clock that went backwards
  EXPECT_EQ(tracker.find(risk.tuple)->flow.opened, 2U);
  tracker.observe(second, look(2, {risk}));
  EXPECT_EQ(tracker.find(venue.tuple), nullptr);
  EXPECT_DOUBLE_EQ(*tracker.find(risk.tuple)->offered.per_second(), 2.0 * std::exp(-0.1) / (1 + std::exp(-0.1)));
}

Sample look_at(int second, const TupleSample& tuple) {
  Sample sample;
  sample.at.steady = base::Instant(Seconds(second));
  sample.tuples = {tuple};
  return sample;
}

TEST(DemandTracker, knows_that_a_tuple_that_appears_later_had_no_load_before) {
  DemandTracker tracker;
  Sample empty = look_at(1, {});
  empty.tuples.clear();
  Sample first = empty;
  first.at.steady = base::Instant(Seconds(0));
  tracker.observe(first, empty);
  TupleSample burst;
  for (std::uint16_t port = 0; port < 1'000; ++port) burst.ports.edit().push_back(live(port, port + 1U));
  tracker.observe(empty, look_at(2, burst));
  EXPECT_LT(*tracker.find(burst.tuple)->offered.per_second(), 500.0);
  for (int second = 2; second < 8; ++second) tracker.observe(look_at(second, burst), look_at(second + 1, burst));
  EXPECT_LT(*tracker.find(burst.tuple)->offered.per_second(), 80.0);
}

TEST(DemandTracker, does_not_take_an_outage_for_relief) {
  DemandTracker tracker;
  TupleSample half;
  for (std::uint32_t port = 32'768; port < 33'168; ++port)
    half.ports.edit().push_back(live(static_cast<std::uint16_t>(port), port));
  tracker.observe(look_at(0, {}), look_at(1, half));
  const double before = *tracker.find(half.tuple)->offered.per_second();
  TupleSample full = half;
  full.counts.live = PortPlan().capacity();
  full.counts.live_preferred = PortPlan().preferred_capacity();
  tracker.observe(look_at(1, half), look_at(2, full));
  EXPECT_DOUBLE_EQ(*tracker.find(half.tuple)->offered.per_second(), before)
      << "no port is free: failures leave no socket";
  tracker.observe(look_at(2, full), look_at(3, half));
  EXPECT_LT(*tracker.find(half.tuple)->offered.per_second(), before);
}

TEST(DemandTracker, counts_what_found_no_port_as_load) {
  DemandTracker tracker;
  TupleSample full;
  full.counts.live = PortPlan().capacity();
  full.counts.live_preferred = PortPlan().preferred_capacity();
  Connects connects;
  TupleConnects& tuple = connects.tuples[full.tuple];
  tuple.window_portless = 50;
  tuple.window_retries = 50;  // a churning process looks like that
  tracker.observe(look_at(0, full), look_at(1, full), {&connects, nullptr});
  EXPECT_DOUBLE_EQ(*tracker.find(full.tuple)->offered.per_second(), 50.0);
  tuple.window_portless = 0;
  for (int second = 1; second < 60; ++second) {
    tracker.observe(look_at(second, full), look_at(second + 1, full), {&connects, nullptr});
  }
  EXPECT_LT(*tracker.find(full.tuple)->offered.per_second(), 1.0) << "nobody asks any more, and that is seen";
}

TEST(DemandTracker, counts_what_programs_refused_themselves) {
  DemandTracker tracker;
  TupleSample tuple;
  tuple.tuple = {Address::v4(0x0a000001), Address::v4(0x0a000002), 9000};
  const std::map<Tuple, std::uint32_t> refused{{tuple.tuple, 30}, {{{}, Address::v4(0x0a000002), 9000}, 5}};
  tracker.observe(look_at(0, tuple), look_at(1, tuple), {nullptr, &refused});
  EXPECT_DOUBLE_EQ(*tracker.find(tuple.tuple)->offered.per_second(), 35.0) << "told with and without source";
}

}  // namespace
}  // namespace tidewaiter::telemetry
