// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tidewaiter::output {

enum class MetricKind : std::uint8_t { kGauge, kCounter, kHistogram };

/// A metric, declared once: the serializer takes name and help from here, and docs/metrics.md is generated from it.
struct MetricDeclaration {
  std::string_view name;
  MetricKind kind;
  std::string_view labels;  ///< comma-separated
  std::string_view help;
  int tier;  ///< lowest tier that can give it
};

/// Every metric that this version can show.
[[nodiscard]] std::span<const MetricDeclaration> metric_declarations();

}  // namespace tidewaiter::output
