// SPDX-License-Identifier: Apache-2.0
#include "lab/watch.h"

#include <gtest/gtest.h>

namespace tidewaiter::lab {
namespace {

constexpr const char* kWindow =
    R"({"schema":"tidewaiter.window/1","at":"2026-11-21T04:13:10.568Z","window":12,"state":"ORANGE","tuples":[)"
    R"({"netns":"self","src":"127.0.0.1","dst":"127.0.0.1","dport":9000,"free":850,"ppr":0.575,"ppr_preferred":1.0,)"
    R"("demand_per_s":53.1,"time_to_cliff_s":0,"time_to_exhaustion_s":null,"state":"ORANGE","p_stress":0.7}],)"
    R"("transitions":[{"at":"2026-11-21T04:13:10.100Z","scope":"tuple","subject":{"netns":"self","src":"127.0.0.1",)"
    R"("dst":"127.0.0.1","dport":9000},"from":"YELLOW","to":"ORANGE","trigger":"window","enforced":true,"reasons":[)"
    R"({"condition":"time_to_exhaustion","op":"<","value":29.25,"threshold":30.0},)"
    R"({"condition":"p_stress","op":">=","value":0.7,"threshold":0.6}]}]})";

TEST(Window, is_read_with_what_is_unknown_absent) {
  const Interruption interruption;
  const Context context("any", {}, interruption, nullptr);
  const auto window = parse_window({context.began(), kWindow}, context);
  ASSERT_TRUE(window) << window.error().message();
  EXPECT_EQ(window->number, 12U);
  EXPECT_EQ(window->state, "ORANGE");
  const SeenTuple* tuple = window->find(9'000);
  ASSERT_NE(tuple, nullptr);
  EXPECT_EQ(tuple->free, 850);
  EXPECT_EQ(tuple->time_to_cliff_s, 0);
  EXPECT_EQ(tuple->time_to_exhaustion_s, std::nullopt);
  EXPECT_EQ(window->find(9'001), nullptr);
  ASSERT_EQ(window->transitions.size(), 1U);
  EXPECT_EQ(window->transitions[0].port, 9'000);
  EXPECT_NEAR(window->t_s - window->transitions[0].t_s, 0.468, 1e-6);
  EXPECT_EQ(window->transitions[0].because(), "time_to_exhaustion 29.2 < 30, p_stress 0.7 >= 0.6");
  EXPECT_EQ(window->transitions[0].in_short(), "exhausted in 29 s, P(stress) 0.70");
}

TEST(Window, refuses_what_is_none) {
  const Interruption interruption;
  const Context context("any", {}, interruption, nullptr);
  for (const char* text : {"", "{}", "[1]", "listening on 127.0.0.1:9650", R"({"schema":"tidewaiter.status/1"})"}) {
    const auto window = parse_window({context.began(), text}, context);
    ASSERT_FALSE(window) << text;
    EXPECT_EQ(window.error().code, base::ErrorCode::kMalformed);
  }
}

TEST(Severity, orders_the_states_and_knows_none_for_stale) {
  EXPECT_EQ(severity_of("GREEN"), 0);
  EXPECT_EQ(severity_of("RED"), kRed);
  EXPECT_EQ(severity_of("STALE"), std::nullopt);
}

SeenTransition transition(double t_s, const char* from, const char* to) {
  SeenTransition result;
  result.t_s = t_s;
  result.from = from;
  result.to = to;
  return result;
}

TEST(DwellShortfall, is_about_steps_down_only) {
  EXPECT_EQ(worst_dwell_shortfall({transition(0, "GREEN", "YELLOW"), transition(1, "YELLOW", "RED"),
                                   transition(31, "RED", "ORANGE"), transition(51, "ORANGE", "YELLOW")},
                                  0.1),
            0);
  EXPECT_NEAR(worst_dwell_shortfall({transition(0, "GREEN", "RED"), transition(25, "RED", "ORANGE")}, 0.5), 4.5, 1e-9);
}

}  // namespace
}  // namespace tidewaiter::lab
