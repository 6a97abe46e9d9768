// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "agent/configuration.h"
#include "base/result.h"

namespace tidewaiter::cli {

/// Applies the file that `--config` names; nothing when none was named. Errors: kInvalidArgument, with file, line and
/// what is allowed.
[[nodiscard]] base::Result<void> read_configuration(const std::string& path, agent::Configuration& configuration);

/// For options whose empty value would silently mean the default.
[[nodiscard]] CLI::Validator not_empty();

}  // namespace tidewaiter::cli
