// SPDX-License-Identifier: Apache-2.0
#include "output/document_fields.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <utility>

namespace tidewaiter::output {
namespace {

constexpr double kHigh = 0.7;
constexpr double kMiddle = 0.4;

std::string two_digits(double number, const char* unit) {
  return number < 9.95 ? fmt::format("{:.1f} {}", number, unit) : fmt::format("{:.0f} {}", number, unit);
}

}  // namespace

const Document& at(const Document& document, const char* field) {
  static const Document kNothing;
  if (!document.is_object()) return kNothing;
  const auto found = document.find(field);
  return found == document.end() ? kNothing : *found;
}

std::string text_at(const Document& document, const char* field, std::string otherwise) {
  const Document& value = at(document, field);
  return value.is_string() ? value.get<std::string>() : std::move(otherwise);
}

std::optional<double> number_at(const Document& document, const char* field) {
  const Document& value = at(document, field);
  if (!value.is_number()) return std::nullopt;
  return value.get<double>();
}

std::string percent(double ratio) { return fmt::format("{:.1f} %", ratio * 100); }
std::string whole(double number) { return grouped(static_cast<std::uint64_t>(std::max(number, 0.0))); }

std::string figure(double number) {
  if (std::abs(number) >= 100 || number == std::floor(number)) return fmt::format("{:.0f}", number);
  return std::abs(number) >= 10 ? fmt::format("{:.1f}", number) : fmt::format("{:.2f}", number);
}

std::string brief_duration(double microseconds) {
  if (microseconds < 999.5) return two_digits(microseconds, "µs");
  if (microseconds < 999.5e3) return two_digits(microseconds / 1e3, "ms");
  return two_digits(microseconds / 1e6, "s");
}

std::string percentile_text(const Style& style, const Document& tuple, const char* field, const char* at_least) {
  const bool is_bound = at_least != nullptr && at(tuple, at_least) == Document(true);
  const std::string mark = is_bound ? (style.use_unicode ? "≥ " : "> ") : "";
  return known(number_at(tuple, field), [&](double us) { return mark + brief_duration(us); });
}

std::string endpoint_text(const Document& tuple) {
  const std::string destination = text_at(tuple, "dst");
  const bool is_v6 = destination.find(':') != std::string::npos;
  return fmt::format("{} → {}{}{}:{}", text_at(tuple, "src"), is_v6 ? "[" : "", destination, is_v6 ? "]" : "",
                     known(number_at(tuple, "dport"), [](double port) { return fmt::format("{:.0f}", port); }));
}

Tone tone_of_state(const std::string& state) {
  if (state == "GREEN") return Tone::kGood;
  if (state == "YELLOW") return Tone::kWarning;
  return Tone::kBad;
}

Tone tone_of_ratio(const std::optional<double>& ratio) {
  if (!ratio || *ratio >= kHigh) return Tone::kBad;
  return *ratio >= kMiddle ? Tone::kWarning : Tone::kGood;
}

}  // namespace tidewaiter::output
