// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/instant.h"
#include "base/settings.h"
#include "control/step.h"
#include "output/agent_view.h"
#include "output/documents.h"

namespace tidewaiter::output {

struct StatusOptions {
  /// Tuples in a document: all that are not GREEN, then those with most pressure. The rest is counted.
  std::size_t max_tuples = 1'000;
};

/// `tidewaiter.status/1` as of `now`: a view that is older than the policy allows is STALE, whatever it said.
/// docs/documents.md describes each field.
[[nodiscard]] Document status_document(const AgentView& view, base::Instant now, const StatusOptions& options = {});

/// `tidewaiter.window/1`: the status of one window, with its number and its transitions.
[[nodiscard]] Document window_document(const AgentView& view, const StatusOptions& options = {});

/// Reasons, parameters and subjects as every document and the journal write them.
[[nodiscard]] Document reasons_document(const control::Reasons& reasons, const std::optional<telemetry::Tuple>& subject,
                                        const std::string& netns);
[[nodiscard]] Document parameters_document(const control::Parameters& parameters);
[[nodiscard]] Document subject_document(const telemetry::Tuple& tuple, const std::string& netns);
[[nodiscard]] Document transition_document(const TransitionView& transition, const AgentView& view);

/// `tidewaiter.config/1`: every setting with its value, and what is allowed.
[[nodiscard]] Document config_document(std::span<const base::Setting> settings);

/// True when either group of parameters is acted upon.
[[nodiscard]] bool is_enforced(const control::Modes& modes);

}  // namespace tidewaiter::output
