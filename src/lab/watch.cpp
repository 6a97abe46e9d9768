// SPDX-License-Identifier: Apache-2.0
#include "lab/watch.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

#include "lab/clock.h"

namespace tidewaiter::lab {
namespace {

constexpr base::Nanoseconds kGlance = base::Milliseconds(100);  // how soon an interruption is noticed

}  // namespace

Watch::Watch(Context& context, AgentChild& agent, std::uint16_t port, std::string label)
    : context_(context), agent_(agent), port_(port), label_(std::move(label)) {
  take(agent.first_window());
}

base::Result<bool> Watch::follow(base::Instant until, const std::function<bool(const SeenWindow&)>& is_enough) {
  while (read_clock() < until) {
    if (context_.is_interrupted()) return false;
    auto window = agent_.next_window(std::min(until, read_clock() + kGlance));
    if (!window) return tl::unexpected(window.error());
    if (!*window) continue;
    take(std::move(**window));
    if (is_enough && is_enough(windows_.back())) return true;
  }
  return true;
}

void Watch::take(SeenWindow window) {
  for (const SeenTransition& transition : window.transitions) {
    if (transition.scope != "tuple" || transition.port != port_) continue;
    transitions_.push_back(transition);
    state_ = transition.to;
    context_.tell("transition",
                  fmt::format("{}{} → {}: {}", label_, transition.from, transition.to, transition.in_short()),
                  {{"at_s", std::round(transition.t_s * 1000) / 1000},
                   {"from", transition.from},
                   {"to", transition.to},
                   {"trigger", transition.trigger},
                   {"reasons", transition.because()}});
  }
  windows_.push_back(std::move(window));
}

const SeenTransition* Watch::first_at_least(int severity) const {
  for (const SeenTransition& transition : transitions_) {
    if (severity_of(transition.to).value_or(-1) >= severity) return &transition;
  }
  return nullptr;
}

const SeenWindow* Watch::nearest(double t_s) const {
  const auto found = std::min_element(windows_.begin(), windows_.end(), [t_s](const auto& left, const auto& right) {
    return std::abs(left.t_s - t_s) < std::abs(right.t_s - t_s);
  });
  return found == windows_.end() ? nullptr : &*found;
}

double worst_dwell_shortfall(const std::vector<SeenTransition>& transitions, double slack_s) {
  constexpr std::array kMinimumDwell{0.0, 10.0, 20.0, 30.0};
  double worst = 0;
  for (std::size_t i = 1; i < transitions.size(); ++i) {
    const auto from = severity_of(transitions[i].from);
    const auto to = severity_of(transitions[i].to);
    if (!from || !to || *to >= *from) continue;
    const double stayed = transitions[i].t_s - transitions[i - 1].t_s;
    worst = std::max(worst, kMinimumDwell[static_cast<std::size_t>(*from)] - stayed - slack_s);
  }
  return worst;
}

}  // namespace tidewaiter::lab
