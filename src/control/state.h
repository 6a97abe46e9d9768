// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tidewaiter::control {

/// How a destination's transport is, calmest first.
enum class State : std::uint8_t {
  kGreen,   ///< SESSION_STABLE
  kYellow,  ///< PORT_PRESSURE_RISING
  kOrange,  ///< RETRY_BURST_ACTIVE
  kRed      ///< PORT_EXHAUSTION_TAX
};

inline constexpr std::array kStates = {State::kGreen, State::kYellow, State::kOrange, State::kRed};

[[nodiscard]] constexpr std::size_t place(State state) { return static_cast<std::size_t>(state); }

[[nodiscard]] constexpr std::string_view name(State state) {
  constexpr std::array<std::string_view, kStates.size()> kNames = {"GREEN", "YELLOW", "ORANGE", "RED"};
  return kNames[place(state)];
}

/// One step calmer. `state` is not GREEN.
[[nodiscard]] constexpr State calmer(State state) { return kStates[place(state) - 1]; }

}  // namespace tidewaiter::control
