// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "agent/snapshot.h"
#include "output/series_limit.h"
#include "store/rows.h"

namespace tidewaiter::agent {

/// A window as the journal keeps it.
struct JournalRows {
  std::vector<store::WindowRow> windows;
  std::vector<store::TransitionRow> transitions;
};

/// The host's row, and one for each tuple that has time series of its own or is not GREEN. A missed window has the
/// host's row only, without figures.
[[nodiscard]] JournalRows journal_rows(const Snapshot& snapshot, const output::SeriesLimit& series);

}  // namespace tidewaiter::agent
