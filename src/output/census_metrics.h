// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "output/census_view.h"
#include "output/exposition.h"
#include "output/series_limit.h"

namespace tidewaiter::output {

/// The series of a census. Tuples without series of their own are shown as dst="other", by the worst of them.
void add_census(Exposition& exposition, const CensusView& view, const SeriesLimit& series);

/// A census in the Prometheus text format. What is not known has no sample; "never" is +Inf.
[[nodiscard]] std::string census_metrics(const CensusView& view, const SeriesLimit& series);

/// The labels of a tuple's series, and of all tuples that have none.
[[nodiscard]] Exposition::Labels labels_of(const telemetry::Tuple& tuple, const std::string& netns);
[[nodiscard]] Exposition::Labels other_labels(const std::string& netns);

}  // namespace tidewaiter::output
