// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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

  /// One of a few words. `value` is the place of the word that is set.
  struct Choice {
    std::function<std::size_t()> get;
    std::function<void(std::size_t)> set;
    std::vector<std::string> words;
  };

  /// A choice bound to an enumeration whose values are the places of the words.
  template <class Enumeration>
  [[nodiscard]] static Choice choice(Enumeration& value, std::vector<std::string> words) {
    return {[&value] { return static_cast<std::size_t>(value); },
            [&value](std::size_t place) { value = static_cast<Enumeration>(place); }, std::move(words)};
  }

  std::string key;   ///< "table.name" of the TOML file; a table's name may have dots of its own
  std::string unit;  ///< "sockets", "ratio"; durations carry their unit in the value
  std::string purpose;
  std::variant<Whole, Real, Duration, Choice> target;

  /// "a whole number from 0 to 1000", for messages and documentation.
  [[nodiscard]] std::string allowed() const;

  /// The bound field as the file would write it: before a file is applied, the default.
  [[nodiscard]] std::string value_text() const;
};

/// All of it as a TOML file, tables in the order of their first setting.
[[nodiscard]] std::string to_toml(std::span<const Setting> settings);

/// Applies a TOML text to the settings. Nothing is changed unless all of it is right.
/// Errors: kInvalidArgument with `file:line:column`, for a syntax error, an unknown key (with the keys of its table), a
/// wrong type or a value out of range (with what is allowed).
[[nodiscard]] Result<void> apply_toml(std::string_view text, const std::string& file,
                                      std::span<const Setting> settings);

}  // namespace tidewaiter::base
