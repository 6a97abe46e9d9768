// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bitset>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <variant>

#include "base/instant.h"
#include "control/baseline.h"
#include "control/flap_guard.h"
#include "control/parameters.h"
#include "control/policy.h"
#include "control/state.h"
#include "model/outlook.h"
#include "model/port_stress.h"
#include "telemetry/features.h"

namespace tidewaiter::control {

/// Why: a condition by name, its value and the threshold that it is compared with.
struct Reason {
  std::string_view condition;
  Comparison comparison = Comparison::kAtLeast;
  double value = 0;
  double threshold = 0;
};

/// A few reasons, without allocation. Room for all is never written to nor copied, only what was added.
class Reasons {
 public:
  Reasons() {}  // NOLINT(modernize-use-equals-default): that of the union is deleted
  Reasons(const Reasons& other) : size_(other.size_) {
    std::uninitialized_copy(other.begin(), other.end(), reasons_.data());
  }
  Reasons& operator=(const Reasons& other) {
    if (this == &other) return *this;
    size_ = other.size_;
    std::uninitialized_copy(other.begin(), other.end(), reasons_.data());
    return *this;
  }
  ~Reasons() = default;

  void add(const Reason& reason) {
    if (size_ < kMostConditions) std::construct_at(reasons_.data() + size_++, reason);
  }
  [[nodiscard]] const Reason* begin() const { return reasons_.data(); }
  [[nodiscard]] const Reason* end() const { return reasons_.data() + size_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  static_assert(std::is_trivially_copyable_v<Reason> && std::is_trivially_destructible_v<Reason>);
  union {
    std::array<Reason, kMostConditions> reasons_;
  };
  std::size_t size_ = 0;
};

/// What a window showed of a tuple. Absent = not known.
struct WindowInput {
  telemetry::Features features;
  std::optional<double> time_to_cliff_s;       ///< infinity = never at this rate
  std::optional<double> time_to_exhaustion_s;  ///< infinity = never at this rate
  std::optional<bool> is_past_cliff;           ///< by the expected search cost
  std::optional<double> free_margin;           ///< free(30 s) − demand · 30 s, ports
  double sustainable_per_s = 0;                ///< connects per second that the tuple's ports allow
  bool is_served_by_connector = false;         ///< no program goes there by plain connect()
};

/// The window of an outlook. `features` without port ratios gets those of the outlook.
[[nodiscard]] WindowInput window_input(const model::Outlook& outlook, const telemetry::PortPlan& plan,
                                       const telemetry::Tuple& tuple, const telemetry::Features& features = {});

/// No window came when one was due.
struct MissedWindow {};

/// Something that does not wait for the end of the window.
enum class Guard : std::uint8_t { kLocalConnectFailure, kOperatorHold, kOperatorRelease };

using Event = std::variant<WindowInput, MissedWindow, Guard>;

/// A state and the time that counts for its dwell.
struct Level {
  State state = State::kGreen;
  base::Instant since{};
  std::optional<base::Instant> clear_since;  ///< every condition of the state has been clear from here on
};

/// What the controller remembers of one tuple. A default one is GREEN and has seen nothing.
struct TupleState {
  Level whole;
  Level orders;  ///< of the order group: without what peers explain; never above `whole`
  base::Instant latest{};
  bool is_stale = false;
  base::Instant stale_since{};

  bool has_peer_fault = false;
  std::optional<base::Instant> peer_clear_since;
  bool is_held = false;  ///< by an operator

  std::uint64_t missed_windows = 0;
  std::uint32_t past_cliff_windows = 0;
  std::uint32_t blowout_windows = 0;  ///< in a row, by latencies that peers do not explain
  std::uint8_t failure_windows = 0;   ///< bit i: a local failure i windows ago, last five
  bool guard_failure = false;         ///< a local failure was reported since the last window
  std::optional<base::Instant> last_local_failure;
  std::optional<base::Instant> last_window;
  std::optional<double> mean_ppr;  ///< exponentially weighted, 10 s
  std::optional<double> mean_twr;

  Baseline connect_time;
  Baseline send_delay;
  Baseline port_search;
  FlapGuard flap;
  WindowInput last_input;  ///< what a guard is judged with
};

/// A state with the mark that no window came for too long.
struct Standing {
  State state = State::kGreen;
  bool is_stale = false;

  friend bool operator==(const Standing&, const Standing&) = default;
};
[[nodiscard]] constexpr std::string_view name(const Standing& standing) {
  return standing.is_stale ? "STALE" : name(standing.state);
}

enum class Trigger : std::uint8_t { kWindow, kGuard, kMissedWindow };
[[nodiscard]] std::string_view name(Trigger trigger);

struct Transition {
  Standing from;
  Standing to;
  Trigger trigger = Trigger::kWindow;
  Reasons reasons;  ///< never empty
};

/// What follows for a tuple now.
struct Decision {
  Standing standing;
  base::Instant since{};  ///< of the standing
  bool has_peer_fault = false;
  State order_state = State::kGreen;    ///< that the order group follows; lower while peers alone fail connects
  std::optional<model::Stress> stress;  ///< absent while no port ratio is known
  Reasons reasons;                      ///< why the state is as it is; empty in GREEN without peer fault
  std::optional<Transition> transition;
  Parameters detected;               ///< what state and conditions prescribe
  Parameters enforced;               ///< what is to be obeyed: detected where the group's mode is enforce
  Parameters stale;                  ///< what is to be obeyed by whoever hears nothing any more
  std::bitset<kMostConditions> off;  ///< rows of the policy whose signal is not known
  bool is_flapping = false;          ///< dwell times are doubled
  bool began_flapping = false;       ///< with this step
};

struct Step {
  TupleState state;
  Decision decision;
};

/// The controller of one tuple: a pure function. Up at once and by as many states as the input asks; down one at a
/// time, after every condition of the state was clear for its dwell time. docs/design/control.md explains each rule.
///
/// `now` is monotonic; an earlier one than before is taken as no time passed. `policy` passed check(), and has at most
/// kMostConditions rows.
[[nodiscard]] Step step(TupleState state, const Event& event, const Policy& policy, base::Instant now);

}  // namespace tidewaiter::control
