// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/settings.h"
#include "kernel/census.h"
#include "model/outlook.h"
#include "telemetry/rates.h"

namespace tidewaiter::output {

/// The options of every room that a configuration file can set, each owned and declared by its room. This is the list
/// of rooms, nothing more: a setting is added where it is used.
struct Configuration {
  kernel::LookOptions look;
  telemetry::DemandEstimator::Options demand;
  model::OutlookOptions outlook;
};

/// Every setting, bound to `configuration`, in the order of the file and of docs/configuration.md.
[[nodiscard]] std::vector<base::Setting> settings_of(Configuration& configuration);

}  // namespace tidewaiter::output
