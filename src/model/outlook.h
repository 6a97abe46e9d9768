// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/settings.h"
#include "model/forecast.h"
#include "model/port_search.h"
#include "model/release_schedule.h"
#include "telemetry/pressure.h"
#include "telemetry/rates.h"
#include "telemetry/sample.h"

namespace tidewaiter::model {

struct OutlookOptions {
  ForecastOptions forecast;
  PortSearchOptions search;
  base::Nanoseconds granule{0};  ///< of the kernel's timer wheel: time_wait_granule(hz)
};

/// The settings of the forecast and the search, bound to `options`. The granule is the kernel's, not a setting.
[[nodiscard]] std::vector<base::Setting> settings_of(OutlookOptions& options);

/// Everything that is said of one tuple: how it stands and what comes.
struct Outlook {
  telemetry::Pressure pressure;
  std::array<std::uint32_t, 60> releases_by_second{};  ///< nominal_releases()
  base::Nanoseconds expected_search{0};  ///< what the port search of the next connect() is expected to cost
  std::optional<double> opened_per_s;    ///< connects between the last two looks; absent: one look
  std::optional<double> closed_per_s;    ///< closes between the last two looks
  std::optional<double> demand_per_s;    ///< absent: not known (one look)
  std::optional<Forecast> forecast;      ///< absent when demand is

  /// Fewer than the cliff's share of the preferred ports is free, or the expected search is longer than it may be.
  bool is_past_cliff = false;
};

/// `demand`: the load to assume, or absent when it is not known. Pure.
[[nodiscard]] Outlook outlook_of(const telemetry::TupleSample& sample, const telemetry::PortPlan& plan,
                                 const std::optional<Demand>& demand, const OutlookOptions& options);

/// The demand that two looks show. `offered_per_s`: the estimator's rate where there is one, else what was opened.
[[nodiscard]] Demand demand_of(const telemetry::PortFlow& flow, std::optional<double> offered_per_s = std::nullopt);

}  // namespace tidewaiter::model
