// SPDX-License-Identifier: Apache-2.0
#include "output/configuration.h"

namespace tidewaiter::output {

std::vector<base::Setting> settings_of(Configuration& configuration) {
  std::vector<base::Setting> settings = kernel::settings_of(configuration.look);
  for (auto&& setting : telemetry::DemandEstimator::settings_of(configuration.demand)) settings.push_back(setting);
  for (auto&& setting : model::settings_of(configuration.outlook)) settings.push_back(setting);
  return settings;
}

}  // namespace tidewaiter::output
