// SPDX-License-Identifier: Apache-2.0
#include "lab/loop_simulation.h"

#include <gtest/gtest.h>

#include "model/forecast.h"

namespace tidewaiter::lab {
namespace {

using base::Seconds;
using control::State;

const double kSustainable = model::sustainable_per_s(2'000);

LoopTransition transition(int at_s, State from, State to) { return {Seconds(at_s), from, to, {}}; }

TEST(FastestCycle, is_the_shortest_time_between_two_rises_into_a_state) {
  const std::vector<LoopTransition> transitions{
      transition(10, State::kGreen, State::kYellow), transition(100, State::kYellow, State::kOrange),
      transition(200, State::kOrange, State::kYellow), transition(350, State::kYellow, State::kOrange),
      transition(1'000, State::kOrange, State::kYellow)};
  EXPECT_EQ(fastest_cycle(transitions, Seconds(0)), Seconds(250));
  EXPECT_EQ(fastest_cycle(transitions, Seconds(101)), std::nullopt);
  EXPECT_EQ(history_of(transitions, 2), "GREEN, YELLOW 10 s, ORANGE 100 s, … 3 more");
}

TEST(LoopSimulation, a_client_that_obeys_does_not_run_out) {
  LoopSimulation loop({});
  loop.run(Seconds(300), 1.6 * kSustainable);
  EXPECT_EQ(loop.counts().failed, 0U);
  EXPECT_GT(loop.counts().refused_by_limit, 0U);
  EXPECT_NE(loop.state(), State::kGreen);
}

TEST(LoopSimulation, a_limit_in_shadow_limits_nothing) {
  LoopOptions options;
  options.policy.modes.connection = control::Mode::kShadow;
  LoopSimulation loop(options);
  loop.run(Seconds(60), 1.6 * kSustainable);
  EXPECT_EQ(loop.counts().refused_by_limit, 0U);
  EXPECT_GT(loop.counts().failed, 0U);
  EXPECT_EQ(loop.state(), State::kRed);
}

TEST(LoopSimulation, stays_green_without_pressure) {
  LoopSimulation loop({});
  loop.run(Seconds(200), 0.1 * kSustainable);
  EXPECT_EQ(loop.state(), State::kGreen);
  EXPECT_TRUE(loop.transitions().empty()) << history_of(loop.transitions());
}

}  // namespace
}  // namespace tidewaiter::lab
