// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/instant.h"
#include "base/settings.h"
#include "control/parameters.h"
#include "control/state.h"
#include "model/port_stress.h"

namespace tidewaiter::control {

/// The numbers that conditions look at. Each is known or absent in a window.
enum class Signal : std::uint8_t {
  kStress,               ///< P(port stress)
  kPpr,                  ///< port pressure ratio
  kTwr,                  ///< TIME_WAIT ratio
  kPprPreferred,         ///< the preferred parity's
  kTimeToCliff,          ///< s; infinity = never at this rate
  kTimeToExhaustion,     ///< s; infinity = never at this rate
  kPastCliffWindows,     ///< windows in a row
  kConnectTimeRatio,     ///< CTL95 over its GREEN median
  kFailureRate,          ///< CFR, all causes
  kBurstIndex,           ///< RBI
  kSendDelayRatio,       ///< DSD95 net over its GREEN median
  kLocalFailures,        ///< connects that failed for reasons of this host, in this window
  kLocalFailureWindows,  ///< of the last five windows, those with one
  kLocalFailureRate,     ///< CFR_local
  kBlowoutWindows,       ///< windows in a row, while at least ORANGE, with a tail blow-out
  kOperatorHold,         ///< 1 while an operator holds the tuple
  kSinceLocalFailure,    ///< s; infinity = none seen
  kFreeMargin,           ///< free(30 s) − demand · 30 s, ports
  kPeerFailureRate       ///< CFR_peer
};
inline constexpr std::size_t kSignals = static_cast<std::size_t>(Signal::kPeerFailureRate) + 1;

enum class Comparison : std::uint8_t { kAtLeast, kBelow };
[[nodiscard]] std::string_view sign(Comparison comparison);

/// What a condition does when it holds.
enum class Effect : std::uint8_t { kYellow, kOrange, kRed, kPeerFault };
[[nodiscard]] std::string_view name(Effect effect);

/// Conditions that only count together with others of their group.
enum class Group : std::uint8_t { kNone, kBurst };

/// A row of the table of states.
struct Condition {
  std::string_view name;
  Effect effect;
  Signal signal;
  Comparison comparison;
  std::optional<double> enter;  ///< raises the state when the signal compares so; absent: the row only holds a state
  double leave;                 ///< clear when the signal no longer compares so with this (hysteresis)
  std::string_view unit;
  std::string_view purpose;
  Group group = Group::kNone;
  bool only_rising = false;     ///< counts only while the signal rises against its mean of 10 s
  bool peers_explain = false;   ///< takes no part in the order group's state while only peers fail connects
  std::string_view needs = {};  ///< the source without which the row is off; empty: the census
};

inline constexpr std::size_t kMostConditions = 32;

/// The conditions of control.md, in its order. Values are defaults.
[[nodiscard]] std::vector<Condition> default_conditions();

[[nodiscard]] std::array<StateParameters, kStates.size()> default_parameters();

/// All that a decision depends on beside its input: data, which a configuration file can override.
struct Policy {
  std::vector<Condition> conditions = default_conditions();
  std::array<base::Nanoseconds, kStates.size()> minimum_dwell = {base::Seconds(0), base::Seconds(10), base::Seconds(20),
                                                                 base::Seconds(30)};
  base::Nanoseconds peer_fault_dwell = base::Seconds(10);
  std::array<StateParameters, kStates.size()> parameters = default_parameters();
  Modes modes;
  std::uint64_t burst_quorum = 2;         ///< conditions of the group "burst" that make one
  double blowout_ratio = 10.0;            ///< CTL95 or DSD95 above this multiple of the GREEN median is a blow-out
  double search_cliff_ratio = 20.0;       ///< a measured port search above this multiple is past the cliff
  std::uint64_t enough_attempts = 20;     ///< below it rates are judged by a bound, latencies not at all
  std::uint64_t stale_after_windows = 3;  ///< missed windows
  std::uint64_t flap_transitions = 6;     ///< more than this many in `flap_window` double the dwell
  base::Nanoseconds flap_window = base::Seconds(600);
  double prior_connect_time_us = 1'000;  ///< GREEN medians before any learning
  double prior_send_delay_us = 1'000;
  double prior_port_search_us = 10;
  const model::StressModel* stress_model = &model::prior_stress_model();
};

/// Every setting of the policy, bound to `policy`: thresholds, dwell times, actions, modes.
[[nodiscard]] std::vector<base::Setting> settings_of(Policy& policy);

/// Errors: kInvalidArgument, with the key, when thresholds contradict each other: a leave threshold on the wrong side
/// of its enter threshold, or one that no value clears; and when there are more rows than kMostConditions.
[[nodiscard]] base::Result<void> check(const Policy& policy);

/// What a state prescribes for a tuple that sustains `sustainable_per_s` connects; 0 = not known: no rate is
/// prescribed.
[[nodiscard]] Parameters parameters_of(const Policy& policy, State state, double sustainable_per_s);

/// What is to be obeyed when no window came for too long: connections as the stricter of the last state and YELLOW,
/// orders as in GREEN; but what RED holds is not released, and overrides still need approval.
[[nodiscard]] Parameters stale_parameters(const Policy& policy, State last, double sustainable_per_s);

/// What of `detected` is to be obeyed: each group where its mode is enforce, GREEN's otherwise.
[[nodiscard]] Parameters enforced_of(const Policy& policy, const Modes& modes, const Parameters& detected);

}  // namespace tidewaiter::control
