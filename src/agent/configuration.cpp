// SPDX-License-Identifier: Apache-2.0
#include "agent/configuration.h"

#include <iterator>
#include <utility>

namespace tidewaiter::agent {

std::vector<base::Setting> settings_of(Configuration& configuration) {
  std::vector<base::Setting> settings;
  const auto add = [&](std::vector<base::Setting> more) {
    settings.insert(settings.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  add(kernel::settings_of(configuration.look));
  add(kernel::settings_of(configuration.connects));
  add(kernel::settings_of(configuration.socket_ends));
  add(kernel::settings_of(configuration.bypass));
  add(ProgramEvents::settings_of(configuration.programs));
  add(telemetry::DemandEstimator::settings_of(configuration.demand));
  add(model::settings_of(configuration.outlook));
  add(Pace::settings_of(configuration.pace));
  add(store::settings_of(configuration.journal));
  add(control::settings_of(configuration.policy));
  return settings;
}

base::Result<void> apply(std::string_view text, const std::string& file, Configuration& configuration) {
  if (auto applied = base::apply_toml(text, file, settings_of(configuration)); !applied) return applied;
  if (auto checked = control::check(configuration.policy); !checked) return base::wrap(checked.error(), file);
  return {};
}

}  // namespace tidewaiter::agent
