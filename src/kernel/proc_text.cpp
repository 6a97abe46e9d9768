// SPDX-License-Identifier: Apache-2.0
#include "kernel/proc_text.h"

#include <charconv>
#include <fmt/format.h>
#include <vector>

namespace tidewaiter::kernel {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::size_t kLongestQuote = 60;

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// Cuts the next word off `text`; empty at the end.
std::string_view next_word(std::string_view& text) {
  text = trim(text);
  const std::size_t length = std::min(text.find_first_of(kSpace), text.size());
  const std::string_view word = text.substr(0, length);
  text.remove_prefix(length);
  return word;
}

/// Cuts the next line off `text`, without its end.
std::string_view next_line(std::string_view& text) {
  const std::size_t length = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, length);
  text.remove_prefix(std::min(length + 1, text.size()));
  return line;
}

template <class Number>
std::optional<Number> whole_number(std::string_view word) {
  Number number{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return number;
}

tl::unexpected<base::Error> malformed(std::string_view what, std::string_view text) {
  return base::fail(base::ErrorCode::kMalformed, fmt::format("{}: '{}'", what, text.substr(0, kLongestQuote)));
}

/// "Prefix: a b c" → prefix, rest after the colon.
std::optional<std::string_view> cut_prefix(std::string_view& line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view prefix = line.substr(0, colon);
  line.remove_prefix(colon + 1);
  return prefix;
}

}  // namespace

base::Result<std::uint64_t> parse_number(std::string_view text) {
  if (const auto number = whole_number<std::uint64_t>(trim(text))) return *number;
  return malformed("not a number", text);
}

base::Result<std::pair<std::uint16_t, std::uint16_t>> parse_port_range(std::string_view text) {
  std::string_view rest = text;
  const auto lo = whole_number<std::uint16_t>(next_word(rest));
  const auto hi = whole_number<std::uint16_t>(next_word(rest));
  if (!lo || !hi || !trim(rest).empty()) return malformed("not a port range of two numbers", text);
  if (*lo > *hi) return malformed("a port range whose first port is above its last", text);
  return std::pair(*lo, *hi);
}

base::Result<telemetry::PortSet> parse_port_list(std::string_view text) {
  telemetry::PortSet ports;
  std::string_view rest = trim(text);
  while (!rest.empty()) {
    const std::size_t length = std::min(rest.find(','), rest.size());
    const std::string_view item = rest.substr(0, length);
    rest.remove_prefix(std::min(length + 1, rest.size()));
    const std::size_t dash = std::min(item.find('-'), item.size());
    const auto first = whole_number<std::uint16_t>(item.substr(0, dash));
    const auto last = dash == item.size() ? first : whole_number<std::uint16_t>(item.substr(dash + 1));
    if (!first || !last || *first > *last) return malformed("not a list of ports and port ranges", text);
    for (std::uint32_t port = *first; port <= *last; ++port) ports.set(port);
  }
  return ports;
}

std::optional<std::int64_t> Counters::get(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

void Counters::merge(Counters other) {
  other.values_.merge(values_);
  values_ = std::move(other.values_);
}

base::Result<Counters> parse_counter_pairs(std::string_view text) {
  Counters counters;
  while (!trim(text).empty()) {
    std::string_view names = next_line(text);
    std::string_view values = next_line(text);
    const std::string_view quoted = names;
    const auto prefix = cut_prefix(names);
    const auto value_prefix = cut_prefix(values);
    if (!prefix || !value_prefix || *prefix != *value_prefix)
      return malformed("counter names without a line of values", quoted);
    while (true) {
      const std::string_view name = next_word(names);
      const std::string_view word = next_word(values);
      if (name.empty() || word.empty()) break;
      const auto value = whole_number<std::int64_t>(word);
      if (!value) {
        // Counters are unsigned in the kernel; one past the signed range is not a number that a difference can use.
        if (whole_number<std::uint64_t>(word)) continue;
        return malformed("a counter that is no number", word);
      }
      counters.set(fmt::format("{}.{}", *prefix, name), *value);
    }
  }
  return counters;
}

base::Result<Counters> parse_sockstat(std::string_view text) {
  Counters counters;
  while (!trim(text).empty()) {
    std::string_view line = next_line(text);
    if (trim(line).empty()) continue;
    const auto prefix = cut_prefix(line);
    if (!prefix) return malformed("a line without a protocol", line);
    while (true) {
      const std::string_view name = next_word(line);
      const std::string_view word = next_word(line);
      if (name.empty() || word.empty()) break;
      const auto value = whole_number<std::int64_t>(word);
      if (!value) return malformed("a count that is no number", word);
      counters.set(fmt::format("{}.{}", *prefix, name), *value);
    }
  }
  return counters;
}

}  // namespace tidewaiter::kernel
