// SPDX-License-Identifier: Apache-2.0
#include "output/program_metrics.h"

#include <gtest/gtest.h>

#include "output/agent_view.h"
#include "telemetry/host_signals.h"

namespace tidewaiter::output {
namespace {

using base::Microseconds;

const telemetry::Tuple kVenue{telemetry::Address::v4(0x0a000001), telemetry::Address::v4(0x0a000007), 9000};

struct World {
  World() { host.programs.emplace(); }

  [[nodiscard]] std::string text() const {
    AgentView view;
    view.identity = &identity;
    view.host = &host;
    Exposition exposition;
    add_programs(exposition, view, series);
    return exposition.text();
  }

  telemetry::HostSignals host;
  SeriesLimit series;
  AgentIdentity identity{"desk", "0.1.0", "self", {}, base::Seconds(1)};
};

TEST(PowerCounts, put_each_duration_below_the_next_power_of_two) {
  telemetry::PowerCounts counts;
  for (const int ns : {0, 1, 1'023, 1'024, 1'025}) counts.add(base::Nanoseconds(ns));
  counts.add(base::Nanoseconds(-5));
  counts.add(base::Seconds(100'000));
  EXPECT_EQ(counts.below(10), 3U) << "below 1,024 ns";
  EXPECT_EQ(counts.below(11), 5U);
  EXPECT_EQ(counts.below(41), 5U);
  EXPECT_EQ(counts.count(), 6U);
  EXPECT_EQ(counts.sum(), base::Seconds(100'000) + base::Nanoseconds(3'073));
}

TEST(PowerCounts, take_a_histogram_without_splitting_its_buckets) {
  telemetry::Histogram histogram;
  telemetry::PowerCounts direct;
  for (std::int64_t ns = 1; ns < 1'000'000'000; ns = ns * 3 / 2 + 1) {
    histogram.add(base::Nanoseconds(ns));
    direct.add(base::Nanoseconds(ns));
  }
  histogram.add_censored(base::Seconds(1));
  telemetry::PowerCounts taken;
  taken.add(histogram);
  for (std::size_t power = 4; power < 43; ++power) EXPECT_EQ(taken.below(power), direct.below(power)) << power;
  EXPECT_EQ(taken.count(), direct.count()) << "what was given up is not sent";
}

TEST(ProgramMetrics, are_absent_until_a_program_speaks) {
  World world;
  EXPECT_EQ(world.text(), "");
  world.host.programs.reset();
  EXPECT_EQ(world.text(), "");
}

TEST(ProgramMetrics, tell_delays_and_waiting_retries_of_each_tuple) {
  World world;
  world.host.programs->events = 3;
  telemetry::TuplePrograms& told = world.host.programs->tuples[kVenue];
  told.retries_waiting = 7;
  told.send_delays.add(Microseconds(3));
  told.send_delays.add(Microseconds(200));
  const std::string text = world.text();
  EXPECT_NE(text.find("tidewaiter_retry_queue_depth"), std::string::npos) << text;
  EXPECT_NE(text.find("} 7\n"), std::string::npos) << text;
  EXPECT_NE(text.find("tidewaiter_decision_to_send_seconds_count"), std::string::npos) << text;
  EXPECT_NE(text.find("} 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("le=\"+Inf\""), std::string::npos) << text;
}

TEST(ProgramMetrics, tell_how_sends_kept_to_their_schedule) {
  World world;
  world.host.programs->events = 1;
  world.host.programs->launch_errors.add(Microseconds(500));
  world.host.programs->cadence.clumping_100ms = 0.25;
  const std::string text = world.text();
  EXPECT_NE(text.find("tidewaiter_launch_error_seconds_sum{netns=\"self\"} 0.0005\n"), std::string::npos) << text;
  EXPECT_NE(text.find("tidewaiter_send_clumping_index{netns=\"self\",width=\"100ms\"} 0.25\n"), std::string::npos)
      << text;
  EXPECT_EQ(text.find("width=\"20ms\""), std::string::npos) << "not known: absent";
}

}  // namespace
}  // namespace tidewaiter::output
