// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/instant.h"
#include "base/result.h"

namespace tidewaiter::base {

/// One value that a configuration file can set: declared once by the room that owns it, bound to the field of that
/// room's options, read by the file parser, printed by the generated documentation.
struct Setting {
  struct Whole {
    std::uint64_t* value;
    std::uint64_t minimum;
    std::uint64_t maximum;
  };
  struct Real {
    double* value;
    double minimum;
    double maximum;
  };
  struct Duration {
    Nanoseconds* value;
    Nanoseconds minimum;
    Nanoseconds maximum;
  };

  std::string key;   ///< "table.name" of the TOML file
  std::string unit;  ///< "sockets", "ratio"; durations carry their unit in the value
  std::string purpose;
  std::variant<Whole, Real, Duration> target;

  /// "a whole number from 0 to 1000", for messages and documentation.
  [[nodiscard]] std::string allowed() const;

  /// The bound field as the file would write it: before a file is applied, the default.
  [[nodiscard]] std::string value_text() const;
};

/// Applies a TOML text to the settings. Nothing is changed unless all of it is right.
/// Errors: kInvalidArgument with `file:line:column`, for a syntax error, an unknown key (with the keys that exist), a
/// wrong type or a value out of range (with what is allowed).
[[nodiscard]] Result<void> apply_toml(std::string_view text, const std::string& file,
                                      std::span<const Setting> settings);

}  // namespace tidewaiter::base
