// SPDX-License-Identifier: Apache-2.0
#include "model/forecast.h"

#include <algorithm>
#include <random>

#include "bench/question.h"
#include "model/release_schedule.h"

namespace tidewaiter::bench {
namespace {

/// A tuple whose whole default range is in TIME_WAIT, ages spread evenly, in the kernel's order: none.
telemetry::TupleSample full_tuple(const telemetry::PortPlan& plan) {
  std::mt19937 random(20'260'101);  // NOLINT: the same every time
  std::uniform_int_distribution<std::uint32_t> remaining(0, telemetry::kTimeWaitMs);
  telemetry::TupleSample sample;
  sample.tuple = {telemetry::Address::v4(0x0a000001), telemetry::Address::v4(0x0a000002), 9000};
  for (std::uint32_t port = plan.settings().lo; port <= plan.settings().hi; ++port) {
    sample.ports.edit().push_back(
        {port, remaining(random), static_cast<std::uint16_t>(port), telemetry::PortHolder::kTimeWait, false});
  }
  std::shuffle(sample.ports.edit().begin(), sample.ports.edit().end(), random);
  return sample;
}

class ForecastCost final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "forecast"; }
  [[nodiscard]] std::string summary() const override { return "What does the forecast of a full tuple cost?"; }

  void answer(const Conditions& conditions, Report& report) override {
    const telemetry::PortPlan plan;
    const telemetry::TupleSample sample = full_tuple(plan);
    const model::Demand demand{.offered_per_s = 400, .returns_per_s = 20, .growth_per_s = 5};
    const auto granule = model::time_wait_granule(250);
    Repeated forecasting(
        [&] {
          keep(model::forecast({0, 0}, model::ReleaseSchedule(sample, plan, granule), demand, plan));
        },
        kInMilliseconds);
    Repeated sorting(
        [&] {
          std::vector<telemetry::PortUse> copy(sample.ports.begin(), sample.ports.end());
          std::sort(copy.begin(), copy.end(), [](const telemetry::PortUse& left, const telemetry::PortUse& right) {
            return left.remaining_ms < right.remaining_ms;
          });
          keep(copy);
        },
        kInMilliseconds);
    Row row = row_of("forecast: 28232 TIME_WAITs; beside sorting them", "ms",
                     compare(conditions.pairs(), forecasting, sorting));
    row.bar = Bar{2, Bar::On::kOurs};
    row.note = "release schedule and forecast; the reference copies the entries and sorts them by remaining time";
    report.add(row);
  }
};

const Registration kRegistration([] { return std::make_unique<ForecastCost>(); });

}  // namespace
}  // namespace tidewaiter::bench
