// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "output/style.h"

namespace tidewaiter::output {

/// A piece of a line in one tone.
struct Span {
  Tone tone = Tone::kPlain;
  std::string text;
};
using Line = std::vector<Span>;

/// Adds a text in as many lines as it takes; the first is indented by `indent` columns, later ones by two more.
void add_wrapped(std::vector<Line>& lines, const Span& span, const Style& style, int indent = 0);

/// The lines as text, with colours where the style has them.
[[nodiscard]] std::string to_text(const std::vector<Line>& lines, const Style& style);

}  // namespace tidewaiter::output
