// SPDX-License-Identifier: Apache-2.0
#include "output/screen.h"

#include <algorithm>

namespace tidewaiter::output {

void add_wrapped(std::vector<Line>& lines, const Span& span, const Style& style, int indent) {
  const std::string broken =
      wrapped(std::string(static_cast<std::size_t>(indent), ' ') + span.text, style.columns, indent + 2);
  for (std::size_t begin = 0; begin <= broken.size();) {
    const std::size_t end = std::min(broken.find('\n', begin), broken.size());
    lines.push_back({{span.tone, broken.substr(begin, end - begin)}});
    begin = end + 1;
  }
}

std::string to_text(const std::vector<Line>& lines, const Style& style) {
  std::string text;
  for (const Line& line : lines) {
    for (const Span& span : line) text += paint(style, span.tone, span.text);
    text += "\n";
  }
  return text;
}

}  // namespace tidewaiter::output
