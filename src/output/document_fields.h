// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "output/documents.h"
#include "output/style.h"

namespace tidewaiter::output {

/// Shown for what is not known.
inline constexpr const char* kUnknown = "–";

/// A member of a document of any shape; null where there is none.
[[nodiscard]] const Document& at(const Document& document, const char* field);
[[nodiscard]] std::string text_at(const Document& document, const char* field, std::string otherwise = kUnknown);
[[nodiscard]] std::optional<double> number_at(const Document& document, const char* field);

/// What write(value) gives, or kUnknown.
template <class Write>
[[nodiscard]] std::string known(const std::optional<double>& value, const Write& write) {
  return value ? write(*value) : std::string(kUnknown);
}

/// "61.2 %".
[[nodiscard]] std::string percent(double ratio);
/// "28,232".
[[nodiscard]] std::string whole(double number);
/// Up to three significant digits, no exponent, no trailing zeros.
[[nodiscard]] std::string figure(double number);
/// Two significant digits at least: "6.4 µs", "1.4 ms", "3.0 s", "127 s".
[[nodiscard]] std::string brief_duration(double microseconds);
/// A percentile of a status's tuple; "≥ 3.0 s" ("> 3.0 s" in ASCII, which is as wide) where it is no smaller and not
/// known any better: then the field `at_least` is true.
[[nodiscard]] std::string percentile_text(const Style& style, const Document& tuple, const char* field,
                                          const char* at_least = nullptr);

/// "10.0.0.1 → [2001:db8::1]:9000".
[[nodiscard]] std::string endpoint_text(const Document& tuple);

[[nodiscard]] Tone tone_of_state(const std::string& state);
/// 0.7 and more is bad, and so is what is not known.
[[nodiscard]] Tone tone_of_ratio(const std::optional<double>& ratio);

}  // namespace tidewaiter::output
