// SPDX-License-Identifier: Apache-2.0
#include "output/style.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <utility>

namespace tidewaiter::output {
namespace {

constexpr std::array<std::string_view, 9> kEighths{" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
constexpr std::array<std::string_view, 9> kHeights{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::string_view kAsciiHeights = " .:-=+*#@";

std::string_view escape_of(Tone tone) {
  switch (tone) {
    case Tone::kPlain:
      return "";
    case Tone::kFaint:
      return "\x1b[2m";
    case Tone::kStrong:
      return "\x1b[1m";
    case Tone::kGood:
      return "\x1b[32m";
    case Tone::kWarning:
      return "\x1b[33m";
    case Tone::kBad:
      return "\x1b[31m";
    case Tone::kSelected:
      return "\x1b[7m";
  }
  return "";
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

/// Byte offset of the column; the text is at least that wide.
std::size_t offset_of_column(std::string_view text, int column) {
  std::size_t offset = 0;
  while (column > 0) {
    ++offset;
    while (offset < text.size() && is_continuation(text[offset])) ++offset;
    --column;
  }
  return offset;
}

/// Cut in the middle: both ends of an address matter.
std::string shortened(const Style& style, std::string_view text, int width) {
  const int length = display_width(text);
  if (length <= width) return std::string(text);
  const std::string_view mark = style.use_unicode ? "…" : "~";
  const int head = (width - 1) / 2;
  const int tail = width - 1 - head;
  return std::string(text.substr(0, offset_of_column(text, head))) + std::string(mark) +
         std::string(text.substr(offset_of_column(text, length - tail)));
}

std::string spaces(int count) { return std::string(static_cast<std::size_t>(std::max(count, 0)), ' '); }

}  // namespace

std::string paint(const Style& style, Tone tone, std::string_view text) {
  if (!style.use_color || tone == Tone::kPlain) return std::string(text);
  return fmt::format("{}{}\x1b[0m", escape_of(tone), text);
}

int display_width(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char byte) { return !is_continuation(byte); }));
}

std::string fit_left(const Style& style, std::string_view text, int width) {
  const std::string cut = shortened(style, text, width);
  return cut + spaces(width - display_width(cut));
}

std::string fit_right(const Style& style, std::string_view text, int width) {
  const std::string cut = shortened(style, text, width);
  return spaces(width - display_width(cut)) + cut;
}

std::string column(const Style& style, std::string_view text, int width) {
  return " " + fit_right(style, text, width - 1);
}

std::string in_ascii(std::string text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kSpelled{
      {{"→", ">"}, {"↑", "^"}, {"↓", "v"}, {"–", "-"}, {"µ", "u"}, {"▲", "!"}, {"…", "~"}, {"≥", ">="}, {"≤", "<="}}};
  for (const auto& [sign, spelled] : kSpelled) {
    for (std::size_t at = text.find(sign); at != std::string::npos; at = text.find(sign, at + spelled.size())) {
      text.replace(at, sign.size(), spelled);
    }
  }
  return text;
}

std::string bar(const Style& style, double share, int width) {
  const double clamped = std::clamp(share, 0.0, 1.0);
  std::string text;
  if (!style.use_unicode) {
    const int full = static_cast<int>(std::lround(clamped * width));
    return std::string(static_cast<std::size_t>(full), '#') + std::string(static_cast<std::size_t>(width - full), '.');
  }
  auto eighths = static_cast<int>(std::lround(clamped * width * 8));
  if (clamped > 0) eighths = std::max(eighths, 1);
  if (clamped < 1) eighths = std::min(eighths, width * 8 - 1);
  for (int column = 0; column < width; ++column) {
    const int filled = std::clamp(eighths - column * 8, 0, 8);
    text += filled == 0 ? "·" : kEighths[static_cast<std::size_t>(filled)];
  }
  return text;
}

std::string strip(const Style& style, std::span<const std::uint32_t> values) {
  std::uint32_t largest = 1;  // also of no values, and of zeros
  for (const std::uint32_t value : values) largest = std::max(largest, value);
  std::string text;
  for (const std::uint32_t value : values) {
    std::size_t height = 0;
    if (value > 0) height = std::max<std::size_t>(1, (std::uint64_t{value} * 8 + largest / 2) / largest);
    if (style.use_unicode) {
      text += height == 0 ? "·" : kHeights[height];
    } else {
      text += height == 0 ? '.' : kAsciiHeights[height];
    }
  }
  return text;
}

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return digits;
}

std::string wrapped(std::string_view text, int width, int indent) {
  std::string result;
  int column = 0;
  while (!text.empty()) {
    const std::size_t length = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    const int word_width = display_width(word);
    if (column > 0 && column + 1 + word_width > width) {
      result += '\n' + spaces(indent);
      column = indent;
    } else if (column > 0) {
      result += ' ';
      ++column;
    }
    result += word;
    column += word_width;
  }
  return result;
}

}  // namespace tidewaiter::output
