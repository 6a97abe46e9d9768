// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "control/step.h"
#include "lab/port_simulation.h"
#include "telemetry/connect_pool.h"
#include "telemetry/rates.h"

namespace tidewaiter::lab {

/// What the controller of a simulated loop hears of connects.
enum class LoopSight : std::uint8_t {
  kSockets,  ///< tier 0: what two looks show; neither failures nor what the limit refused
  kConnects  ///< tier 2: every connect that was offered, and how it ended
};

struct LoopOptions {
  PortSimulationOptions ports;
  LoopSight sight = LoopSight::kConnects;
  base::Nanoseconds interval = base::Seconds(1);
  control::Policy policy;
};

/// A step of the controller from one state to another.
struct LoopTransition {
  base::Nanoseconds at;
  control::State from;
  control::State to;
  control::Reasons reasons;
};

/// The whole loop without a socket: simulated ports, the model, control::step, and a client that obeys the connect rate
/// that is enforced. The same seed gives the same run. Thread: the caller's.
class LoopSimulation {
 public:
  explicit LoopSimulation(const LoopOptions& options);

  /// Windows at a constant offered load.
  void run(base::Nanoseconds duration, double offered_per_s);

  [[nodiscard]] base::Nanoseconds elapsed() const { return ports_.elapsed(); }
  [[nodiscard]] control::State state() const { return state_.whole.state; }
  [[nodiscard]] const std::vector<LoopTransition>& transitions() const { return transitions_; }
  [[nodiscard]] const ConnectCounts& counts() const { return counts_; }

 private:
  void decide(const telemetry::Sample& sample, const ConnectCounts& counts);

  LoopOptions options_;
  PortSimulation ports_;
  model::OutlookOptions outlook_;
  telemetry::Sample before_;
  telemetry::DemandTracker seen_;
  telemetry::DemandEstimator offered_;
  telemetry::ConnectPool pool_;
  control::TupleState state_;
  std::optional<double> limit_per_s_;
  std::vector<LoopTransition> transitions_;
  ConnectCounts counts_;
};

/// The shortest time between two rises into the same state after `since`: the period of the fastest cycle. Absent
/// when no state was entered twice from below.
[[nodiscard]] std::optional<base::Nanoseconds> fastest_cycle(const std::vector<LoopTransition>& transitions,
                                                             base::Nanoseconds since);

/// "GREEN 0 s, YELLOW 14 s, …": at most `most` of them.
[[nodiscard]] std::string history_of(const std::vector<LoopTransition>& transitions, std::size_t most = 12);

}  // namespace tidewaiter::lab
