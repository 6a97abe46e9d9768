// SPDX-License-Identifier: Apache-2.0
#include "lab/report.h"

#include <gtest/gtest.h>

#include "lab/clock.h"
#include "lab/context.h"
#include "lab/scenario.h"

namespace tidewaiter::lab {
namespace {

using output::Document;

/// What an audience hears.
class Recorder final : public Audience {
 public:
  void on_event(const TimelineEvent& event) override { heard += event.text + "\n"; }
  void on_progress(double, double share, const std::string&) override { last_share = share; }
  std::string heard;
  double last_share = -1;
};

Report example() {
  Report report;
  report.scenario = "steady";
  report.seed = 7;
  report.duration_s = 60.00049;
  report.expectations = {{"GREEN throughout", "in every window", "in 60 of 60", true}};
  report.timeline = {{1.5, "pool", "a client sends requests", {{"connections", 16}}}};
  return report;
}

TEST(Report, is_written_as_the_document_says) {
  EXPECT_EQ(report_document(example()).dump(),
            R"({"schema":"tidewaiter.lab/1","scenario":"steady","seed":7,"duration_s":60.0,"expectations":[{"what":)"
            R"("GREEN throughout","expected":"in every window","observed":"in 60 of 60","pass":true}],"timeline":[)"
            R"({"t_s":1.5,"event":"pool","detail":{"text":"a client sends requests","connections":16}}]})");
  EXPECT_EQ(reports_document({example(), example()})["schema"], "tidewaiter.lab-all/1");
  EXPECT_EQ(reports_document({example(), example()})["scenarios"].size(), 2U);
}

TEST(Report, has_not_passed_without_an_expectation_or_with_one_that_failed) {
  Report report = example();
  EXPECT_TRUE(report.has_passed());
  report.expectations.push_back({"x", "1", "2", false});
  EXPECT_FALSE(report.has_passed());
  EXPECT_FALSE(Report().has_passed());
}

TEST(Context, tells_the_audience_and_keeps_the_timeline_in_order) {
  const Interruption interruption;
  Recorder recorder;
  Context context("any", {.seed = 3, .program = ""}, interruption, &recorder);
  context.tell("second", "later");
  context.tell_at(context.began() + base::Nanoseconds(1), "first", "earlier");
  context.show_progress(1.5, "");
  EXPECT_EQ(recorder.heard, "later\nearlier\n");
  EXPECT_EQ(recorder.last_share, 1.0);
  const Report report = context.take_report();
  EXPECT_EQ(report.seed, 3U);
  ASSERT_EQ(report.timeline.size(), 2U);
  EXPECT_EQ(report.timeline[0].event, "first");
}

TEST(Interruption, ends_waits_early_and_stays) {
  Interruption interruption;
  EXPECT_TRUE(interruption.wait_until(read_clock()));
  interruption.interrupt();
  const base::Instant before = read_clock();
  EXPECT_FALSE(interruption.wait_until(before + base::Seconds(60)));
  EXPECT_LT(read_clock() - before, base::Seconds(30));
  EXPECT_TRUE(interruption.is_interrupted());
}

TEST(Scenarios, have_names_of_their_own_and_an_unknown_one_names_them) {
  EXPECT_TRUE(find_scenario("steady"));
  const auto unknown = find_scenario("no-such");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, base::ErrorCode::kInvalidArgument);
  for (const Scenario& scenario : scenarios()) {
    EXPECT_NE(unknown.error().hint.find(scenario.name), std::string::npos) << scenario.name;
    EXPECT_EQ(find_scenario(scenario.name)->run, scenario.run);
  }
}

Scenario scenario_of(base::Result<void> (*run)(Context&)) { return {"test", "", base::Seconds(0), run}; }

TEST(RunScenario, makes_an_error_an_expectation_that_failed) {
  LabOptions options;
  options.temporary_root = "/nonexistent";
  const Interruption interruption;
  const auto report = run_scenario(
      scenario_of([](Context&) -> base::Result<void> { return base::fail(base::ErrorCode::kUnavailable, "no way"); }),
      options, interruption, nullptr);
  ASSERT_EQ(report.expectations.size(), 1U);
  EXPECT_FALSE(report.has_passed());
  EXPECT_EQ(report.expectations[0].observed, "no way");
}

TEST(RunScenario, that_is_interrupted_has_not_passed) {
  Interruption interruption;
  interruption.interrupt();
  const auto report = run_scenario(scenario_of([](Context& context) -> base::Result<void> {
                                     context.expect("x", "1", "1", true);
                                     return {};
                                   }),
                                   {}, interruption, nullptr);
  EXPECT_FALSE(report.has_passed());
}

}  // namespace
}  // namespace tidewaiter::lab
