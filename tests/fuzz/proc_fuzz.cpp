// SPDX-License-Identifier: Apache-2.0
//
// The texts of /proc, the configuration file and what users type: no input crashes, what is accepted is in range, and a
// text that comes in pieces reads as it does whole.
// Input: a byte that chooses the parser, then the text.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "agent/configuration.h"
#include "base/instant.h"
#include "kernel/bypass_signs.h"
#include "kernel/host.h"
#include "kernel/linux_capabilities.h"
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

bool is_printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char character) { return character >= ' ' && character <= '~'; });
}

void read_maps(const std::string& text) {
  const auto whole = kernel::parse_maps(text);
  std::vector<kernel::BypassSign> signs;
  kernel::MapsReader reader;
  for (std::size_t at = 0; at < text.size(); at += 7) reader.feed(std::string_view(text).substr(at, 7), signs);
  reader.finish(signs);
  require(signs == whole);
  for (const auto& sign : whole) {
    require(is_printable(sign.evidence) && sign.evidence.size() <= kernel::kLongestEvidence);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 11) {
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
    case 8:
      read_maps(text);
      break;
    case 9:
      if (const auto stat = kernel::parse_process_stat(text)) require(is_printable(stat->comm));
      break;
    case 10:
      if (const auto read = kernel::parse_capabilities(text)) {
        require(read->effective.names().size() <= 64 && !read->effective.to_string().empty());
      }
      break;
  }
  return 0;
}
