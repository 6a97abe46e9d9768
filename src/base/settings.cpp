// SPDX-License-Identifier: Apache-2.0
#include "base/settings.h"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <toml++/toml.h>

namespace tidewaiter::base {
namespace {

std::string where(const std::string& file, const toml::source_region& source) {
  return fmt::format("{}:{}:{}", file, source.begin.line, source.begin.column);
}

tl::unexpected<Error> refuse(const std::string& place, std::string what, std::string allowed) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("{}: {}", place, what), std::move(allowed));
}

/// A checked value, ready to be stored.
using Store = std::function<void()>;

Result<Store> read_whole(const Setting::Whole& target, const toml::node& node) {
  const auto value = node.value_exact<std::int64_t>();
  if (!value || *value < 0 || static_cast<std::uint64_t>(*value) < target.minimum ||
      static_cast<std::uint64_t>(*value) > target.maximum) {
    return fail(ErrorCode::kInvalidArgument, "");
  }
  return [target, number = static_cast<std::uint64_t>(*value)] { *target.value = number; };
}

Result<Store> read_real(const Setting::Real& target, const toml::node& node) {
  const auto value = node.is_number() ? node.value<double>() : std::nullopt;
  if (!value || !(*value >= target.minimum && *value <= target.maximum)) return fail(ErrorCode::kInvalidArgument, "");
  return [target, number = *value] { *target.value = number; };
}

Result<Store> read_duration(const Setting::Duration& target, const toml::node& node) {
  const auto text = node.value_exact<std::string>();
  const auto value = text ? parse_duration(*text) : fail(ErrorCode::kInvalidArgument, "");
  if (!value || *value < target.minimum || *value > target.maximum) return fail(ErrorCode::kInvalidArgument, "");
  return [target, duration = *value] { *target.value = duration; };
}

Result<Store> read_choice(const Setting::Choice& target, const toml::node& node) {
  const auto text = node.value_exact<std::string>();
  const auto word = text ? std::find(target.words.begin(), target.words.end(), *text) : target.words.end();
  if (word == target.words.end()) return fail(ErrorCode::kInvalidArgument, "");
  return [target, place = static_cast<std::size_t>(word - target.words.begin())] { target.set(place); };
}

Result<Store> read(const Setting& setting, const toml::node& node) {
  if (const auto* whole = std::get_if<Setting::Whole>(&setting.target)) return read_whole(*whole, node);
  if (const auto* real = std::get_if<Setting::Real>(&setting.target)) return read_real(*real, node);
  if (const auto* duration = std::get_if<Setting::Duration>(&setting.target)) return read_duration(*duration, node);
  return read_choice(std::get<Setting::Choice>(setting.target), node);
}

/// "" for a key at the top of the file.
std::string_view table_of(std::string_view key) {
  const std::size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : key.substr(0, dot);
}

std::string_view name_of(std::string_view key) { return key.substr(key.rfind('.') + 1); }

/// The settings beside an unknown one, or the tables where there is no such table.
std::string known_beside(std::string_view key, std::span<const Setting> settings) {
  std::string names;
  std::string tables;
  std::string_view last;
  for (const Setting& setting : settings) {
    const std::string_view table = table_of(setting.key);
    if (!table.empty() && table == table_of(key))
      names += fmt::format("{}{}", names.empty() ? "" : ", ", name_of(setting.key));
    if (table != last && !table.empty()) tables += fmt::format("{}[{}]", tables.empty() ? "" : ", ", table);
    last = table;
  }
  if (!names.empty()) return fmt::format("[{}] has: {}", table_of(key), names);
  return fmt::format("tables: {}; `tidewaiter run --print-config` shows all", tables);
}

Result<void> collect(const toml::table& table, const std::string& prefix, const std::string& file,
                     std::span<const Setting> settings, std::vector<Store>& stores) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix.empty() ? std::string(name.str()) : fmt::format("{}.{}", prefix, name.str());
    if (const toml::table* inner = node.as_table()) {
      if (auto result = collect(*inner, key, file, settings, stores); !result) return result;
      continue;
    }
    const Setting* setting = nullptr;
    for (const Setting& candidate : settings) {
      if (candidate.key == key) setting = &candidate;
    }
    if (setting == nullptr) {
      return refuse(where(file, name.source()), fmt::format("unknown setting '{}'", key), known_beside(key, settings));
    }
    auto store = read(*setting, node);
    if (!store) {
      return refuse(where(file, node.source()), fmt::format("the value of '{}' is not allowed", key),
                    fmt::format("{} takes {}", key, setting->allowed()));
    }
    stores.push_back(std::move(*store));
  }
  return {};
}

}  // namespace

std::string Setting::allowed() const {
  if (const auto* whole = std::get_if<Whole>(&target)) {
    return fmt::format("a whole number from {} to {}", whole->minimum, whole->maximum);
  }
  if (const auto* real = std::get_if<Real>(&target)) {
    return fmt::format("a number from {} to {}", real->minimum, real->maximum);
  }
  if (const auto* duration = std::get_if<Duration>(&target)) {
    return fmt::format("a duration in quotes from \"{}\" to \"{}\"", format_duration(duration->minimum),
                       format_duration(duration->maximum));
  }
  std::string words;
  for (const std::string& word : std::get<Choice>(target).words) {
    words += fmt::format("{}\"{}\"", words.empty() ? "" : ", ", word);
  }
  return "one of " + words;
}

std::string Setting::value_text() const {
  if (const auto* whole = std::get_if<Whole>(&target)) return fmt::format("{}", *whole->value);
  if (const auto* real = std::get_if<Real>(&target)) return fmt::format("{}", *real->value);
  if (const auto* duration = std::get_if<Duration>(&target)) {
    return fmt::format("\"{}\"", format_duration(*duration->value));
  }
  const auto& choice = std::get<Choice>(target);
  return fmt::format("\"{}\"", choice.words.at(choice.get()));
}

std::string to_toml(std::span<const Setting> settings) {
  std::vector<std::string_view> tables{""};  // keys of no table come before all tables
  for (const Setting& setting : settings) {
    const std::string_view table = table_of(setting.key);
    if (std::find(tables.begin(), tables.end(), table) == tables.end()) tables.push_back(table);
  }
  std::string text;
  for (const std::string_view table : tables) {
    if (!table.empty()) text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", table);
    for (const Setting& setting : settings) {
      if (table_of(setting.key) == table) text += fmt::format("{} = {}\n", name_of(setting.key), setting.value_text());
    }
  }
  return text;
}

Result<void> apply_toml(std::string_view text, const std::string& file, std::span<const Setting> settings) {
  try {
    std::vector<Store> stores;
    if (auto result = collect(toml::parse(text, file), "", file, settings, stores); !result) return result;
    for (const Store& store : stores) store();
    return {};
  } catch (const toml::parse_error& error) {
    return refuse(where(file, error.source()), std::string(error.description()),
                  "the file is TOML: [table], then name = value");
  }
}

}  // namespace tidewaiter::base
