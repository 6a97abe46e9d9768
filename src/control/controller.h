// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/instant.h"
#include "control/step.h"
#include "telemetry/sample.h"

namespace tidewaiter::control {

/// One tuple's window, as it goes into the controller.
struct TupleWindow {
  telemetry::Tuple tuple;
  WindowInput input;
  bool is_critical = true;  ///< counts for the host's state
};

struct TupleDecision {
  telemetry::Tuple tuple;
  bool is_critical = true;
  telemetry::Features features;  ///< that it was judged by
  Decision decision;
};

/// What follows for the host as a whole: the worst of its critical tuples.
struct HostDecision {
  Standing standing;
  base::Instant since{};
  State order_state = State::kGreen;        ///< the worst that an order group of theirs follows
  std::optional<telemetry::Tuple> subject;  ///< the tuple that decides; absent in GREEN and when no window came
  std::optional<double> p_stress;           ///< the highest of any critical tuple
  Reasons reasons;                          ///< of the subject
  std::optional<Transition> transition;
  std::optional<telemetry::Tuple> cause;  ///< of the transition: the tuple whose own reasons it has; absent: no tuple's
  Parameters detected;
  Parameters enforced;
  Parameters stale;
};

/// One round of decisions.
struct Round {
  std::vector<TupleDecision> tuples;  ///< those that are watched, sorted by tuple
  HostDecision host;

  /// Null for a tuple that is not watched: it is GREEN, and has been for ten minutes or since the start.
  [[nodiscard]] const TupleDecision* find(const telemetry::Tuple& tuple) const;
};

/// The controllers of all tuples of one namespace. Pure but for what it remembers: time is passed in, nothing is read
/// or written. Tuples that use less than a hundredth of their ports and have no connects are not watched, and
/// after ten calm minutes not any more.
/// Thread: one at a time.
class Controller {
 public:
  Controller(Policy policy, base::Instant start);

  /// A window of every tuple that has sockets. `idle` is the window of a tuple that has none: it is given to those
  /// that are watched and not among them.
  [[nodiscard]] Round window(std::span<const TupleWindow> windows, const WindowInput& idle, base::Instant now);

  /// No window came when one was due.
  [[nodiscard]] Round missed_window(base::Instant now);

  /// An event that does not wait: the round of its tuple (and the host) at once.
  [[nodiscard]] Round guard(const telemetry::Tuple& tuple, Guard guard, base::Instant now);

  /// The canary's harm stop: the order group goes to shadow at once.
  void stop_harm();

  [[nodiscard]] const Policy& policy() const { return policy_; }
  [[nodiscard]] std::size_t watched() const { return tuples_.size(); }

 private:
  struct Watched {
    TupleState state;
    bool is_critical = true;
    base::Instant last_busy{};
    std::uint64_t round = 0;  ///< the last in which it had sockets
    Decision last;
  };

  TupleDecision decide(const telemetry::Tuple& tuple, Watched& watched, const Event& event, base::Instant now);
  Watched& watch(const telemetry::Tuple& tuple, base::Instant now);
  [[nodiscard]] Round conclude(std::vector<TupleDecision> decisions, bool is_stale, Trigger trigger, base::Instant now);
  void explain(const std::vector<TupleDecision>& decisions, Trigger trigger, HostDecision& host) const;
  /// Fills in what the critical tuples say together; null while they are GREEN.
  [[nodiscard]] const Watched* find_worst(HostDecision& host) const;
  [[nodiscard]] Reason missed() const;
  void forget_idle(base::Instant now);

  Policy policy_;
  base::Instant start_;
  std::unordered_map<telemetry::Tuple, Watched> tuples_;
  std::uint64_t round_ = 0;
  std::uint64_t missed_windows_ = 0;
  Standing host_;
  base::Instant host_since_;
  double sustainable_per_s_ = 0;  ///< of a tuple without sockets; 0 before the first window
};

/// The window of a tuple that has no socket: all of the plan's ports are free and nobody asks for one.
[[nodiscard]] WindowInput idle_window(const telemetry::PortPlan& plan);

}  // namespace tidewaiter::control
