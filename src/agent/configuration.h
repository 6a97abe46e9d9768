// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/pace.h"
#include "agent/program_events.h"
#include "base/result.h"
#include "base/settings.h"
#include "control/policy.h"
#include "kernel/bypass.h"
#include "kernel/census.h"
#include "kernel/connect_probe.h"
#include "kernel/destroy_listener.h"
#include "model/outlook.h"
#include "store/retention.h"
#include "telemetry/rates.h"

namespace tidewaiter::agent {

/// The options of every room that a configuration file can set, each owned and declared by its room. This is the list
/// of rooms, nothing more: a setting is added where it is used.
struct Configuration {
  kernel::LookOptions look;
  kernel::ConnectProbeOptions connects;
  kernel::DestroyOptions socket_ends;
  kernel::BypassOptions bypass;
  ProgramEvents::Options programs;
  telemetry::DemandEstimator::Options demand;
  model::OutlookOptions outlook;
  control::Policy policy;
  Pace::Options pace;
  store::RetentionOptions journal;
};

/// Every setting, bound to `configuration`, in the order of the file and of docs/configuration.md.
[[nodiscard]] std::vector<base::Setting> settings_of(Configuration& configuration);

/// Applies a TOML text and checks the whole. Errors: kInvalidArgument with place and what is allowed; then
/// `configuration` is unchanged or must not be used.
[[nodiscard]] base::Result<void> apply(std::string_view text, const std::string& file, Configuration& configuration);

}  // namespace tidewaiter::agent
