// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "output/census_view.h"

namespace tidewaiter::output {

/// JSON with its fields in the order in which they were written.
using Document = nlohmann::ordered_json;

/// `tidewaiter.census/1`: docs/documents.md describes each field.
[[nodiscard]] Document census_document(const CensusView& view);

/// One tuple of a census: the first fields of its object in every document.
[[nodiscard]] Document tuple_document(const TupleView& view, const std::string& netns);

/// The `range` of a census.
[[nodiscard]] Document range_document(const telemetry::PortPlan& plan);

/// What listed the connections, and what that takes by each source that has been tried.
[[nodiscard]] Document walk_document(const telemetry::Sample& sample);

/// `tidewaiter.error/1`: what a command answers instead of its document.
[[nodiscard]] Document error_document(const base::Error& error);

}  // namespace tidewaiter::output
