// SPDX-License-Identifier: Apache-2.0
#include "model/port_stress.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <rapidcheck.h>

namespace tidewaiter::model {
namespace {

constexpr std::array<std::optional<double> StressInputs::*, kStressInputs> kMembers = {
    &StressInputs::ppr,
    &StressInputs::twr,
    &StressInputs::local_failure_rate,
    &StressInputs::connect_time_ratio,
    &StressInputs::retry_queue_depth,
    &StressInputs::reconnect_ratio};

/// The most that each input can be in sense, and beyond.
constexpr std::array<double, kStressInputs> kLargest = {1.2, 1.2, 1.2, 1e4, 1e6, 10};

StressInputs ports(double ppr, double twr) { return {ppr, twr, {}, {}, {}, {}}; }

double stress_of(const StressInputs& inputs) {
  const auto stress = port_stress(prior_stress_model(), inputs);
  EXPECT_TRUE(stress);
  return stress ? stress->probability : -1;
}

StressInputs any_inputs() {
  StressInputs inputs;
  for (std::size_t place = 0; place < kStressInputs; ++place) {
    if (place > 0 && *rc::gen::arbitrary<bool>()) continue;
    inputs.*kMembers[place] = kLargest[place] * *rc::gen::inRange(0, 1'001) / 1'000.0;
  }
  return inputs;
}

// python3 -c "from math import *; p = lambda x: 1 / (1 + exp(-x)); print(p(-13.9 + 13*.79 + 3.6*.79))", then
// + 15*(cfr - .02) + .5*(log2(ctl) - .5) + .4*(log1p(depth) - .5) + (reconnects - .2).
TEST(PriorStress, has_its_golden_values) {
  EXPECT_EQ(prior_stress_model().version, "prior/1");
  EXPECT_NEAR(stress_of(ports(0.79, 0.79)), 0.313028192, 1e-8);
  EXPECT_NEAR(stress_of(ports(0.86, 0.86)), 0.592907990, 1e-8);
  EXPECT_NEAR(stress_of(ports(0.94, 0.94)), 0.846056436, 1e-8);
  EXPECT_NEAR(stress_of(ports(0.5, 0.5)), 0.003684240, 1e-8);
  EXPECT_NEAR(stress_of(ports(1, 0)), 0.289050497, 1e-8);
  EXPECT_NEAR(stress_of({0.79, 0.79, 0.0, 1.0, 0.0, 0.0}), 0.149821722, 1e-8);
  EXPECT_NEAR(stress_of({0.86, 0.86, 0.05, 4.0, 10.0, 0.5}), 0.933090305, 1e-8);
  EXPECT_NEAR(stress_of({0.3, 0.25, 0.0, 1.0, 0.0, 0.0}), 4.318388413e-05, 1e-12);
}

TEST(PriorStress, crosses_the_thresholds_where_it_was_calibrated) {
  // PPR = TWR, tier 0 alone: ports that are full of TIME_WAITs.
  EXPECT_NEAR(stress_of(ports(0.786, 0.786)), 0.30, 0.002);
  EXPECT_NEAR(stress_of(ports(0.862, 0.862)), 0.60, 0.002);
  EXPECT_NEAR(stress_of(ports(0.942, 0.942)), 0.85, 0.002);
}

TEST(PriorStress, has_no_term_that_calms) {
  for (std::size_t place = 0; place < kStressInputs; ++place) {
    const StressTerm& term = prior_stress_model().terms[place];
    EXPECT_EQ(static_cast<std::size_t>(term.input), place);
    EXPECT_GT(term.coefficient, 0) << term.name;
  }
}

TEST(PortStress, never_falls_when_an_input_rises) {
  EXPECT_TRUE(rc::check("monotone", [] {
    StressInputs inputs = any_inputs();
    const double before = stress_of(inputs);
    const auto place = *rc::gen::inRange<std::size_t>(0, kStressInputs);
    if (!(inputs.*kMembers[place])) return;
    *(inputs.*kMembers[place]) += kLargest[place] * *rc::gen::inRange(0, 1'000) / 1'000.0;
    RC_ASSERT(stress_of(inputs) >= before);
  }));
}

TEST(PortStress, rises_with_each_input_inside_its_range) {
  const StressInputs low{0.4, 0.3, 0.1, 1.5, 1.0, 0.1};
  const StressInputs high{0.5, 0.4, 0.2, 3.0, 2.0, 0.2};
  for (const auto member : kMembers) {
    StressInputs inputs = low;
    inputs.*member = high.*member;
    EXPECT_GT(stress_of(inputs), stress_of(low));
  }
}

TEST(PortStress, gives_a_probability_for_each_set_of_inputs_that_has_a_port_ratio) {
  const StressInputs full{0.8, 0.7, 0.05, 4.0, 20.0, 0.5};
  for (unsigned set = 0; set < 64; ++set) {
    StressInputs inputs;
    for (std::size_t place = 0; place < kStressInputs; ++place) {
      if ((set >> place & 1U) != 0) inputs.*kMembers[place] = full.*kMembers[place];
    }
    const auto stress = port_stress(prior_stress_model(), inputs);
    EXPECT_EQ(stress.has_value(), (set & 3U) != 0) << set;
    if (!stress) continue;
    EXPECT_EQ(stress->inputs, set);
    EXPECT_TRUE(std::isfinite(stress->probability));
    EXPECT_GT(stress->probability, 0) << set;
    EXPECT_LT(stress->probability, 1) << set;
  }
}

TEST(PortStress, stays_between_0_and_1_for_any_input) {
  EXPECT_TRUE(rc::check("open interval", [] {
    const double p = stress_of(any_inputs());
    RC_ASSERT((p > 0 && p < 1));
  }));
}

TEST(PortStress, takes_an_absent_input_at_its_reference) {
  const StressInputs all{0.8, 0.7, 0.02, std::exp2(0.5), std::expm1(0.5), 0.2};
  EXPECT_NEAR(stress_of(all), stress_of(ports(0.8, 0.7)), 1e-12);
  StressInputs no_twr = all;
  no_twr.twr.reset();
  StressInputs twr_0 = all;
  twr_0.twr = 0.0;
  EXPECT_NEAR(stress_of(no_twr), stress_of(twr_0), 1e-12);
}

TEST(PortStress, is_lowered_by_knowing_that_all_else_is_calm) {
  EXPECT_LT(stress_of({0.8, 0.7, 0.0, 1.0, 0.0, 0.0}), stress_of(ports(0.8, 0.7)));
}

TEST(PortStress, leaves_out_what_is_no_number) {
  const double infinity = std::numeric_limits<double>::infinity();
  StressInputs inputs = ports(0.8, 0.7);
  inputs.connect_time_ratio = std::nan("");
  inputs.reconnect_ratio = infinity;
  const auto stress = port_stress(prior_stress_model(), inputs);
  ASSERT_TRUE(stress);
  EXPECT_EQ(inputs_text(prior_stress_model(), *stress), "ppr twr");
  EXPECT_EQ(stress->probability, stress_of(ports(0.8, 0.7)));
  EXPECT_FALSE(port_stress(prior_stress_model(), ports(infinity, std::nan(""))));
}

TEST(PortStress, names_its_inputs) {
  const StressInputs all{0.8, 0.7, 0.1, 2.0, 1.0, 0.1};
  EXPECT_EQ(inputs_text(prior_stress_model(), *port_stress(prior_stress_model(), all)),
            "ppr twr cfr_local ctl95_ratio retry_queue_depth reconnect_ratio");
}

}  // namespace
}  // namespace tidewaiter::model
