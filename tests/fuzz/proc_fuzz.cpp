// SPDX-License-Identifier: Apache-2.0
//
// The texts of /proc, the configuration file and what users type: no input crashes, and what is accepted is in range.
// Input: a byte that chooses the parser, then the text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/configuration.h"
#include "base/instant.h"
#include "kernel/host.h"
#include "kernel/proc_text.h"
#include "output/census_view.h"

namespace {

using namespace tidewaiter;

void require(bool holds) {
  if (!holds) std::abort();
}

void read_configuration(const std::string& text) {
  agent::Configuration configuration;
  const auto applied = agent::apply(text, "fuzz.toml", configuration);
  if (!applied) {
    require(applied.error().message().starts_with("fuzz.toml:"));
    return;
  }
  require(configuration.outlook.forecast.cliff_share >= 0 && configuration.outlook.forecast.cliff_share <= 0.5);
}

void read_duration(const std::string& text) {
  const auto duration = base::parse_duration(text);
  if (!duration) return;
  require(duration->count() >= 0);
  require(base::parse_duration(base::format_duration(*duration)).value() == *duration);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 0:
      static_cast<void>(kernel::parse_counter_pairs(text));
      break;
    case 1:
      static_cast<void>(kernel::parse_sockstat(text));
      break;
    case 2:
      if (const auto range = kernel::parse_port_range(text)) require(range->first <= range->second);
      break;
    case 3:
      static_cast<void>(kernel::parse_port_list(text));
      break;
    case 4:
      static_cast<void>(kernel::parse_kernel_version(text));
      break;
    case 5:
      read_configuration(text);
      break;
    case 6:
      read_duration(text);
      break;
    case 7:
      static_cast<void>(output::parse_tuple_filter(text));
      break;
  }
  return 0;
}
