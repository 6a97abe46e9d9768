// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "output/documents.h"
#include "output/style.h"

namespace tidewaiter::output {

/// A piece of a line in one tone.
struct Span {
  Tone tone = Tone::kPlain;
  std::string text;
};
using Line = std::vector<Span>;

struct StatusScreenOptions {
  std::optional<int> lines;                     ///< at most this many; absent: all tuples
  std::optional<base::Nanoseconds> silent_for;  ///< nothing was heard for this long: what follows is old
};

/// A `tidewaiter.status/1` document for a terminal: the state and why, what it prescribes, tuples by severity. Pure, so
/// that `status` and `top` show the same. Fields that are missing or null are shown as not known. At most
/// `style.columns` wide, 80 at least.
[[nodiscard]] std::vector<Line> status_screen(const Document& status, const Style& style,
                                              const StatusScreenOptions& options = {});

/// The lines as text, with colours where the style has them.
[[nodiscard]] std::string to_text(const std::vector<Line>& lines, const Style& style);

}  // namespace tidewaiter::output
