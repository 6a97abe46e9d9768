// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tidewaiter::output {

/// How text for people may look on this terminal.
struct Style {
  bool use_color = false;
  bool use_unicode = true;
  int columns = 80;
  int lines = 24;
};

enum class Tone : std::uint8_t { kPlain, kFaint, kStrong, kGood, kWarning, kBad, kSelected };

/// `text` in the tone, unchanged where colours are off.
[[nodiscard]] std::string paint(const Style& style, Tone tone, std::string_view text);

/// Columns that `text` (UTF-8, no escapes, no wide characters) takes on a terminal.
[[nodiscard]] int display_width(std::string_view text);

/// Pads with spaces to `width` columns; a longer text is cut in its middle with "…".
[[nodiscard]] std::string fit_left(const Style& style, std::string_view text, int width);
[[nodiscard]] std::string fit_right(const Style& style, std::string_view text, int width);

/// A bar of `width` columns, `share` in [0, 1] of it full, to an eighth of a column.
[[nodiscard]] std::string bar(const Style& style, double share, int width);

/// One column per value, its height the value over the largest one; a value above 0 is never drawn as nothing.
[[nodiscard]] std::string strip(const Style& style, std::span<const std::uint32_t> values);

/// A column of `width` with a text at its right end and at least one space before it.
[[nodiscard]] std::string column(const Style& style, std::string_view text, int width);

/// The signs that the views use beyond ASCII, spelled in ASCII: for terminals that have nothing else.
[[nodiscard]] std::string in_ascii(std::string text);

/// Digits in groups of three: 28,232.
[[nodiscard]] std::string grouped(std::uint64_t number);

/// Breaks at spaces into lines of at most `width` columns; later lines start with `indent` spaces.
[[nodiscard]] std::string wrapped(std::string_view text, int width, int indent);

}  // namespace tidewaiter::output
