// SPDX-License-Identifier: Apache-2.0
#include "base/settings.h"

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

Result<Store> read(const Setting& setting, const toml::node& node) {
  if (const auto* whole = std::get_if<Setting::Whole>(&setting.target)) return read_whole(*whole, node);
  if (const auto* real = std::get_if<Setting::Real>(&setting.target)) return read_real(*real, node);
  return read_duration(std::get<Setting::Duration>(setting.target), node);
}

std::string known_keys(std::span<const Setting> settings) {
  std::string keys;
  for (const Setting& setting : settings) keys += (keys.empty() ? "" : ", ") + setting.key;
  return "settings: " + keys;
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
      return refuse(where(file, name.source()), fmt::format("unknown setting '{}'", key), known_keys(settings));
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
  const auto& duration = std::get<Duration>(target);
  return fmt::format("a duration in quotes from \"{}\" to \"{}\"", format_duration(duration.minimum),
                     format_duration(duration.maximum));
}

std::string Setting::value_text() const {
  if (const auto* whole = std::get_if<Whole>(&target)) return fmt::format("{}", *whole->value);
  if (const auto* real = std::get_if<Real>(&target)) return fmt::format("{}", *real->value);
  return fmt::format("\"{}\"", format_duration(*std::get<Duration>(target).value));
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
