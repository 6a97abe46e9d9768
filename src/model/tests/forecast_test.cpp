// SPDX-License-Identifier: Apache-2.0
#include "model/forecast.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "model/outlook.h"

namespace tidewaiter::model {
namespace {

using base::Milliseconds;
using base::Nanoseconds;
using base::Seconds;
using telemetry::PortHolder;
using telemetry::PortPlan;
using telemetry::PortSettings;
using telemetry::TupleSample;

const Nanoseconds kGranule = Milliseconds(2048);

PortPlan default_plan() { return PortPlan(PortSettings{}, {}); }

double seconds(const std::optional<Nanoseconds>& time) { return std::chrono::duration<double>(time.value()).count(); }

TupleSample waiting(const std::vector<std::pair<std::uint16_t, std::uint32_t>>& ports) {
  TupleSample sample;
  for (const auto& [port, remaining_ms] : ports)
    sample.ports.edit().push_back({port, remaining_ms, port, PortHolder::kTimeWait, false});
  return sample;
}

/// The forecast of a tuple without any history.
Forecast from_empty(double rate, double growth = 0) {
  const ReleaseSchedule nothing(TupleSample{}, default_plan(), kGranule);
  return forecast({14'116, 14'116}, nothing, {rate, 0, growth}, default_plan());
}

TEST(TimeWaitGranule, is_the_step_of_the_wheel_for_60_seconds) {
  EXPECT_EQ(time_wait_granule(250), Milliseconds(2048));
  EXPECT_EQ(time_wait_granule(100), Milliseconds(5120));
  EXPECT_EQ(time_wait_granule(1000), Milliseconds(4096));
}

TEST(ReleaseSchedule, enters_each_release_at_its_late_bound) {
  const PortPlan plan = default_plan();
  const ReleaseSchedule schedule(waiting({{40'000, 0}, {40'001, 1'000}, {40'002, 60'000}}), plan, kGranule);
  EXPECT_EQ(schedule.horizon(), Milliseconds(62'050));
  EXPECT_EQ(schedule.slots()[204].preferred, 1) << "overdue, and free within one granule";
  EXPECT_EQ(schedule.slots()[304].other, 1);
  EXPECT_EQ(schedule.slots().back().preferred, 1);
}

TEST(ReleaseSchedule, holds_fin_wait_2_for_the_whole_horizon_and_counts_reusable_ports_as_free_already) {
  TupleSample sample = waiting({{40'000, 10}, {40'002, 10}});
  sample.ports.edit()[0].holder = PortHolder::kFinWait2;
  sample.ports.edit()[1].reusable = true;
  const ReleaseSchedule schedule(sample, default_plan(), kGranule);
  for (const auto& slot : schedule.slots()) EXPECT_EQ(slot.total(), 0);
}

TEST(ReleaseSchedule, releases_at_the_age_of_reuse_where_that_is_earlier) {
  PortSettings settings;
  settings.reuse = telemetry::TimeWaitReuse::kAlways;
  settings.reuse_delay_ms = 1'000;
  const ReleaseSchedule schedule(waiting({{40'000, 59'500}}), PortPlan(settings, {}), kGranule);
  EXPECT_EQ(schedule.slots()[49].preferred, 1) << "500 ms from now it is one second old";
}

TEST(NominalReleases, show_when_time_waits_end) {
  const auto by_second = nominal_releases(waiting({{40'000, 0}, {40'001, 999}, {40'002, 1'000}, {40'003, 60'000}}));
  EXPECT_EQ(by_second[0], 2U);
  EXPECT_EQ(by_second[1], 1U);
  EXPECT_EQ(by_second[59], 1U);
}

TEST(Forecast, agrees_with_littles_law) {
  EXPECT_NEAR(sustainable_per_s(28'232), 470.5, 0.05);
  EXPECT_NEAR(sustainable_per_s(14'116), 235.3, 0.05);
  // 28,232 ports for 60 s and one granule: the highest rate that never meets the end.
  const double sustained = 28'232 / 62.05;
  EXPECT_FALSE(from_empty(sustained * 0.999).time_to_exhaustion);
  ASSERT_TRUE(from_empty(sustained * 1.001).time_to_exhaustion);
  EXPECT_NEAR(seconds(from_empty(sustained * 1.001).time_to_exhaustion), 62, 0.1);
}

TEST(Forecast, finds_cliff_and_exhaustion_of_a_burst) {
  const Forecast burst = from_empty(1'000);
  EXPECT_NEAR(seconds(burst.time_to_cliff), 14.116 * 0.99, 0.01);
  EXPECT_NEAR(seconds(burst.time_to_exhaustion), 28.232, 0.01);
  EXPECT_DOUBLE_EQ(burst.free_by_second[0].total(), 28'232);
  EXPECT_NEAR(burst.free_by_second[10].preferred, 4'116, 0.5);
  EXPECT_NEAR(burst.free_by_second[10].other, 14'116, 1e-6);
  EXPECT_NEAR(burst.free_by_second[20].other, 8'232, 0.5);
  EXPECT_EQ(burst.free_by_second.size(), 61U);
}

TEST(Forecast, says_never_for_a_rate_that_is_sustained) {
  const Forecast calm = from_empty(100);
  EXPECT_FALSE(calm.time_to_cliff);
  EXPECT_FALSE(calm.time_to_exhaustion);
  const Forecast idle = from_empty(0);
  EXPECT_FALSE(idle.time_to_cliff);
}

TEST(Forecast, says_zero_for_what_is_so_already) {
  const ReleaseSchedule nothing(TupleSample{}, default_plan(), kGranule);
  const Forecast full = forecast({0, 0}, nothing, {}, default_plan());
  EXPECT_EQ(full.time_to_cliff, Nanoseconds(0));
  EXPECT_EQ(full.time_to_exhaustion, Nanoseconds(0));
  const Forecast past_cliff = forecast({141, 5'000}, nothing, {}, default_plan());
  EXPECT_EQ(past_cliff.time_to_cliff, Nanoseconds(0)) << "141 of 14,116 is less than 1 %";
  EXPECT_FALSE(past_cliff.time_to_exhaustion);
  EXPECT_FALSE(forecast({142, 5'000}, nothing, {}, default_plan()).time_to_cliff);
}

TEST(Forecast, counts_on_known_releases_in_time) {
  // 10 free ports, 100/s: exhausted in 100 ms, unless 10,000 ports come free before.
  std::vector<std::pair<std::uint16_t, std::uint32_t>> soon;
  for (std::uint16_t i = 0; i < 10'000; ++i) soon.emplace_back(static_cast<std::uint16_t>(40'000 + i), 0);
  const ReleaseSchedule releases(waiting(soon), default_plan(), Milliseconds(50));
  EXPECT_FALSE(forecast({10, 0}, releases, {100, 0, 0}, default_plan()).time_to_exhaustion);
  const ReleaseSchedule late(waiting(soon), default_plan(), Milliseconds(200));
  EXPECT_NEAR(seconds(forecast({10, 0}, late, {100, 0, 0}, default_plan()).time_to_exhaustion), 0.1, 1e-6);
}

TEST(Forecast, counts_ports_that_come_back_without_time_wait) {
  const ReleaseSchedule nothing(TupleSample{}, default_plan(), kGranule);
  EXPECT_FALSE(forecast({14'116, 14'116}, nothing, {10'000, 9'900, 0}, default_plan()).time_to_exhaustion);
  EXPECT_FALSE(forecast({100, 0}, nothing, {10, 50, 0}, default_plan()).time_to_exhaustion)
      << "more than arrives cannot return";
}

TEST(Forecast, says_never_where_ports_are_reused_faster_than_they_are_needed) {
  const ReleaseSchedule nothing(TupleSample{}, default_plan(), kGranule);
  const Demand reused{10'000, 0, 0, Seconds(1)};
  EXPECT_FALSE(forecast({14'116, 14'116}, nothing, reused, default_plan()).time_to_exhaustion);
  const Demand faster{30'000, 0, 0, Seconds(1)};
  EXPECT_NEAR(seconds(forecast({14'116, 14'116}, nothing, faster, default_plan()).time_to_exhaustion), 0.941, 0.001);
  PortSettings settings;
  settings.reuse = telemetry::TimeWaitReuse::kAlways;
  EXPECT_FALSE(outlook_of({}, PortPlan(settings, {}), Demand{10'000, 0, 0}, {}).forecast->time_to_exhaustion);
  EXPECT_TRUE(outlook_of({}, default_plan(), Demand{10'000, 0, 0}, {}).forecast->time_to_exhaustion);
}

TEST(Forecast, follows_growth_beyond_the_horizon) {
  // 100 connects/s that stay open: 28,232 ports last 282 s.
  const Forecast growing = from_empty(100, 100);
  ASSERT_TRUE(growing.time_to_exhaustion);
  EXPECT_NEAR(seconds(growing.time_to_exhaustion), 282.32, 0.1);
  EXPECT_NEAR(seconds(growing.time_to_cliff), 139.7, 0.2);
  EXPECT_FALSE(from_empty(1e-4, 1e-4).time_to_exhaustion) << "nine years are never";
}

TEST(Forecast, never_finds_the_end_before_the_cliff_and_comes_sooner_with_more_load) {
  EXPECT_TRUE(rc::check([] {
    const PortPlan plan = default_plan();
    std::vector<std::pair<std::uint16_t, std::uint32_t>> ports;
    const auto held = *rc::gen::inRange(0, 2'000);
    ports.reserve(static_cast<std::size_t>(held));
    for (int i = 0; i < held; ++i) {
      ports.emplace_back(static_cast<std::uint16_t>(32'768 + i), *rc::gen::inRange<std::uint32_t>(0, 60'001));
    }
    const ReleaseSchedule releases(waiting(ports), plan, kGranule);
    const ParityCounts free{14'116.0 - held / 2.0, 14'116.0 - held / 2.0};
    const double rate = *rc::gen::inRange(0, 5'000);
    const Forecast lower = forecast(free, releases, {rate, 0, 0}, plan);
    const Forecast higher = forecast(free, releases, {rate * 1.5 + 1, 0, 0}, plan);
    if (lower.time_to_exhaustion) {
      RC_ASSERT((lower.time_to_cliff && *lower.time_to_cliff <= *lower.time_to_exhaustion));
      RC_ASSERT((higher.time_to_exhaustion && *higher.time_to_exhaustion <= *lower.time_to_exhaustion));
    }
    for (const auto& at : lower.free_by_second) RC_ASSERT((at.preferred >= 0 && at.other >= 0));
  }));
}

TEST(Outlook, has_no_forecast_without_demand) {
  const Outlook outlook = outlook_of(waiting({{40'000, 500}}), default_plan(), std::nullopt, {});
  EXPECT_FALSE(outlook.forecast);
  EXPECT_FALSE(outlook.demand_per_s);
  EXPECT_EQ(outlook.releases_by_second[0], 1U);
}

TEST(Outlook, is_past_the_cliff_exactly_when_the_forecast_says_now) {
  TupleSample sample;
  for (std::uint32_t port = 32'768; port < 61'000; port += 2) {
    sample.ports.edit().push_back({port, 0, static_cast<std::uint16_t>(port), PortHolder::kLive, false});
  }
  sample.counts.live = sample.counts.live_preferred = static_cast<std::uint32_t>(sample.ports.size());
  const Outlook outlook = outlook_of(sample, default_plan(), Demand{1, 0, 0}, {});
  EXPECT_TRUE(outlook.is_past_cliff);
  EXPECT_EQ(outlook.forecast->time_to_cliff, Nanoseconds(0));
  EXPECT_GT(outlook.expected_search, base::Microseconds(900));
}

}  // namespace
}  // namespace tidewaiter::model
