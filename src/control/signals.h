// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>

#include "control/policy.h"
#include "control/step.h"

namespace tidewaiter::control {

/// The value of every signal at one step; absent = not known.
class Signals {
 public:
  [[nodiscard]] const std::optional<double>& operator[](Signal signal) const {
    return values_[static_cast<std::size_t>(signal)];
  }
  void set(Signal signal, std::optional<double> value) { values_[static_cast<std::size_t>(signal)] = value; }

  std::optional<model::Stress> stress;
  bool is_ppr_rising = false;
  bool is_twr_rising = false;

 private:
  std::array<std::optional<double>, kSignals> values_;
};

/// Folds a window into what the state remembers (runs, means, failures), before its signals are read.
void remember(TupleState& state, const WindowInput& window, const Policy& policy, base::Instant now);

/// Connects fail, and for reasons of the peers only: nothing that failures explain says anything about this host.
[[nodiscard]] bool is_peers_doing(const TupleState& state);

/// All signals as `state` has them after remember().
[[nodiscard]] Signals signals_of(const TupleState& state, const Policy& policy, base::Instant now);

}  // namespace tidewaiter::control
