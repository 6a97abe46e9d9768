// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lab/agent_child.h"
#include "lab/context.h"

namespace tidewaiter::lab {

/// What an agent said of one destination, window by window; transitions go into the story as they come.
class Watch {
 public:
  /// `port`: of the destination that matters. `label`: before each line of the story; may be empty.
  Watch(Context& context, AgentChild& agent, std::uint16_t port, std::string label = {});

  /// Takes windows until `until`, or until `is_enough` says so after a window. True when it did, or the time came;
  /// false when the user wants to stop. Errors: those of the agent.
  [[nodiscard]] base::Result<bool> follow(base::Instant until,
                                          const std::function<bool(const SeenWindow&)>& is_enough = {});

  [[nodiscard]] const std::vector<SeenWindow>& windows() const { return windows_; }

  /// Of the destination, in order of time.
  [[nodiscard]] const std::vector<SeenTransition>& transitions() const { return transitions_; }

  /// The destination's state now; GREEN before anything went there.
  [[nodiscard]] const std::string& state() const { return state_; }

  /// The first transition to this severity or a worse one; null when there was none.
  [[nodiscard]] const SeenTransition* first_at_least(int severity) const;

  /// The window whose time is nearest to `t_s`; null when there is none.
  [[nodiscard]] const SeenWindow* nearest(double t_s) const;

 private:
  void take(SeenWindow window);

  Context& context_;
  AgentChild& agent_;
  std::uint16_t port_;
  std::string label_;
  std::string state_ = "GREEN";
  std::vector<SeenWindow> windows_;
  std::vector<SeenTransition> transitions_;
};

/// Seconds by which a state was left before its minimum dwell (YELLOW 10, ORANGE 20, RED 30), for steps down only:
/// the worst, 0 when none was. `slack_s` is forgiven.
[[nodiscard]] double worst_dwell_shortfall(const std::vector<SeenTransition>& transitions, double slack_s);

}  // namespace tidewaiter::lab
