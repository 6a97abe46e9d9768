// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "telemetry/sample.h"

namespace tidewaiter::telemetry {

/// Port pressure of one tuple: ratios over the plan's capacity. A ratio over an empty capacity is absent.
/// Definitions: docs/design/ports.md; the same as `ss` would count, over ports instead of lines.
struct Pressure {
  std::uint32_t free = 0;                        ///< ports that connect() could give now, reusable TIME_WAITs included
  std::uint32_t free_preferred = 0;              ///< of those: with the parity that connect() tries first
  std::optional<double> ppr;                     ///< port pressure ratio: 1 − free / capacity
  std::optional<double> ppr_preferred;           ///< the same over the preferred parity
  std::optional<double> twr;                     ///< TIME_WAIT ratio: (time_wait − reusable) / capacity
  std::optional<std::uint32_t> next_release_ms;  ///< until the next TIME_WAIT is due; absent: none is waited for
};

[[nodiscard]] Pressure pressure_of(const TupleSample& sample, const PortPlan& plan);

/// The host's figures: the worst tuple, and the playbook's literal ratios over size − reserved.
struct HostPressure {
  std::optional<double> ppr;
  std::optional<double> twr;
  std::optional<double> ppr_literal;  ///< sockets on ports of the range / R
  std::optional<double> twr_literal;  ///< TIME_WAITs on ports of the range, reusable ones included / R
};

[[nodiscard]] HostPressure host_pressure_of(const Sample& sample);

}  // namespace tidewaiter::telemetry
