// SPDX-License-Identifier: Apache-2.0
#include "model/outlook.h"

namespace tidewaiter::model {

std::vector<base::Setting> settings_of(OutlookOptions& options) {
  return {{"forecast.cliff_share", "ratio",
           "A tuple is past the cliff when fewer than this share of its preferred ports is free.",
           base::Setting::Real{&options.forecast.cliff_share, 0.0, 0.5}},
          {"search.per_probe", "", "What one probed port costs connect() on this kernel.",
           base::Setting::Duration{&options.search.per_probe, base::Nanoseconds(1), base::Microseconds(10)}},
          {"search.past_cliff_above", "", "A port search that is expected to cost more than this is past the cliff.",
           base::Setting::Duration{&options.search.past_cliff_above, base::Microseconds(1), base::Milliseconds(100)}}};
}

Outlook outlook_of(const telemetry::TupleSample& sample, const telemetry::PortPlan& plan,
                   const std::optional<Demand>& demand, const OutlookOptions& options) {
  Outlook outlook;
  outlook.pressure = telemetry::pressure_of(sample, plan);
  outlook.releases_by_second = nominal_releases(sample);
  const auto& pressure = outlook.pressure;
  outlook.expected_search = search_cost(expected_probes(sample, plan), options.search);
  outlook.is_past_cliff = pressure.free_preferred == 0 ||
                          pressure.free_preferred < options.forecast.cliff_share * plan.preferred_capacity() ||
                          outlook.expected_search > options.search.past_cliff_above;
  if (demand) {
    const ParityCounts free_now{static_cast<double>(pressure.free_preferred),
                                static_cast<double>(pressure.free - pressure.free_preferred)};
    Demand assumed = *demand;
    if (plan.is_reuse_allowed(sample.tuple.source, sample.tuple.destination)) {
      assumed.reused_after = base::Milliseconds(plan.settings().reuse_delay_ms);
    }
    outlook.demand_per_s = demand->offered_per_s;
    outlook.forecast =
        forecast(free_now, ReleaseSchedule(sample, plan, options.granule), assumed, plan, options.forecast);
  }
  return outlook;
}

Demand demand_of(const telemetry::PortFlow& flow, std::optional<double> offered_per_s) {
  return {offered_per_s.value_or(flow.per_second(flow.opened)), flow.per_second(flow.closed_free), flow.growth_per_s()};
}

}  // namespace tidewaiter::model
