// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "output/documents.h"
#include "output/screen.h"
#include "output/style.h"
#include "output/tuple_table.h"

namespace tidewaiter::output {

/// A screen that is looked at and steered: as high as it is, one tuple of it selected.
struct ScreenView {
  int lines = 24;  ///< at most this many
  TupleOrder order = TupleOrder::kPressure;
  std::string selected;     ///< identity_of() a tuple; the first one where there is none such
  bool has_details = true;  ///< of the selected tuple: how its connects went, and which processes make them
};

struct StatusScreenOptions {
  std::optional<ScreenView> view;               ///< absent: all tuples, as text to be read or kept
  std::optional<base::Nanoseconds> silent_for;  ///< nothing was heard for this long: what follows is old
};

/// A `tidewaiter.status/1` document for a terminal: the state and why, what it prescribes, tuples with their ports and
/// connects, where numbers come from. Pure, so that `status` and `top` show the same. Fields that are missing or null
/// are shown as not known. At most `style.columns` wide, 80 at least; from kWideColumns on ports and connects are in
/// one table, else a view shows the columns that its order is about.
[[nodiscard]] std::vector<Line> status_screen(const Document& status, const Style& style,
                                              const StatusScreenOptions& options = {});

}  // namespace tidewaiter::output
