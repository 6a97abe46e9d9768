// SPDX-License-Identifier: Apache-2.0
#include "lab/connect_tally.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace tidewaiter::lab {
namespace {

/// In the order in which people want to read them.
constexpr std::array<std::string_view, 16> kNames{"attempts",    "established", "timeout",         "addr_not_available",
                                                  "addr_in_use", "refused",     "reset",           "unreachable",
                                                  "denied",      "resources",   "aborted",         "other",
                                                  "pre_syn",     "port_probes", "syn_retransmits", "retries"};

void count(Tally& tally, std::string_view name, const output::Document& value) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() != 0) {
    tally[std::string(name)] += value.get<std::uint64_t>();
  }
}

}  // namespace

Tally read_tally(const output::Document& connects, Source source) {
  Tally tally;
  if (!connects.is_object()) return tally;
  for (const auto& [name, value] : connects.items()) {
    if (name == "failures" && value.is_object()) {
      for (const auto& [cause, failures] : value.items()) {
        const bool is_early = source == Source::kUnspecified && cause == "unreachable";
        count(tally, is_early ? "pre_syn" : cause, failures);
      }
    } else if (name == "pre_syn_unattributed") {
      count(tally, "pre_syn", value);
    } else if (std::find(kNames.begin(), kNames.end(), name) != kNames.end()) {
      count(tally, name, value);
    }
  }
  return tally;
}

void add(Tally& sum, const Tally& tally) {
  for (const auto& [name, value] : tally) sum[name] += value;
}

std::uint64_t distance(const Tally& left, const Tally& right) {
  const auto of = [](const Tally& tally, std::string_view name) {
    const auto found = tally.find(name);
    return found == tally.end() ? 0 : found->second;
  };
  std::uint64_t total = 0;
  for (const std::string_view name : kNames) {
    const std::uint64_t here = of(left, name);
    const std::uint64_t there = of(right, name);
    total += here > there ? here - there : there - here;
  }
  return total;
}

std::string to_string(const Tally& tally) {
  std::string text;
  for (const std::string_view name : kNames) {
    const auto found = tally.find(name);
    if (found == tally.end() || found->second == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", found->second, name);
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace tidewaiter::lab
