// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "base/instant.h"
#include "base/result.h"
#include "lab/context.h"

namespace tidewaiter::lab {

/// A failure that the lab brings about for real, and what must be seen of it.
struct Scenario {
  std::string_view name;
  std::string_view summary;
  base::Nanoseconds lasts;  ///< about
  base::Result<void> (*run)(Context&);
};

/// All of them, in the order of `lab run all`.
[[nodiscard]] std::span<const Scenario> scenarios();

/// Errors: kInvalidArgument with the names that exist.
[[nodiscard]] base::Result<Scenario> find_scenario(std::string_view name);

/// Whether scenarios can run here. Errors: kNotPermitted, kUnavailable, with what is missing.
[[nodiscard]] base::Result<void> check_lab();

/// Runs one. What keeps it from its end (an error, Ctrl-C) is an expectation that failed.
[[nodiscard]] Report run_scenario(const Scenario& scenario, const LabOptions& options, const Interruption& interruption,
                                  Audience* audience);

}  // namespace tidewaiter::lab
