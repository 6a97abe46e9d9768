// SPDX-License-Identifier: Apache-2.0
#include "cli/configuration_file.h"

#include "kernel/network_settings.h"

namespace tidewaiter::cli {

base::Result<void> read_configuration(const std::string& path, agent::Configuration& configuration) {
  if (path.empty()) return {};
  auto text = kernel::read_file(path);
  if (!text) {
    text.error().code = base::ErrorCode::kInvalidArgument;
    return base::wrap(text.error(), "--config");
  }
  return agent::apply(*text, path, configuration);
}

CLI::Validator not_empty() {
  return CLI::Validator([](const std::string& value) { return value.empty() ? "must not be empty" : ""; }, "",
                        "not_empty");
}

}  // namespace tidewaiter::cli
