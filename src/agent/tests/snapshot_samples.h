// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "agent/snapshot.h"

namespace tidewaiter::agent {

inline constexpr std::int64_t kStartUnixSeconds = 1'795'234'390;  // 2026-11-21T04:13:10Z

/// `second` seconds after the agent began.
inline base::Moment moment(std::int64_t second) {
  return {base::Instant(base::Seconds(1'000 + second)), base::WallTime(base::Seconds(kStartUnixSeconds + second))};
}

inline telemetry::Tuple tuple_to(std::uint16_t port) {
  return {telemetry::Address::v4(0x7f000001), telemetry::Address::v4(0x0a000007), port};
}

/// A look at destinations with that many live connections each, in a range of 1000 ports.
inline std::shared_ptr<const Look> look_at(const std::vector<std::pair<std::uint16_t, std::uint32_t>>& live_by_port,
                                           std::int64_t second = 0) {
  auto look = std::make_shared<Look>();
  telemetry::Sample& sample = look->sample;
  sample.at = moment(second);
  telemetry::PortSettings settings;
  settings.lo = 40'000;
  settings.hi = 40'999;
  sample.plan = telemetry::PortPlan(settings, {});
  for (const auto& [port, live] : live_by_port) {
    telemetry::TupleSample tuple;
    tuple.tuple = tuple_to(port);
    for (std::uint32_t i = 0; i < live; ++i) {
      tuple.ports.edit().push_back(
          {i + 1, 0, static_cast<std::uint16_t>(40'000 + i), telemetry::PortHolder::kLive, false});
    }
    tuple.counts.live = live;
    tuple.counts.live_preferred = (live + 1) / 2;
    sample.tuples.push_back(tuple);
  }
  std::sort(sample.tuples.begin(), sample.tuples.end(),
            [](const auto& left, const auto& right) { return left.tuple < right.tuple; });
  look->census = output::view_of(sample, nullptr, {});
  return look;
}

/// A decision as the controller would make it for a state, by pressure of the preferred ports.
inline control::TupleDecision decision_for(std::uint16_t port, control::State state, const control::Policy& policy = {},
                                           double sustainable_per_s = 10) {
  control::TupleDecision tuple;
  tuple.tuple = tuple_to(port);
  control::Decision& decision = tuple.decision;
  decision.standing.state = decision.order_state = state;
  decision.since = moment(-30).steady;
  decision.stress = model::Stress{0.25 + 0.2 * static_cast<double>(control::place(state)), 3};
  if (state != control::State::kGreen)
    decision.reasons.add({"ppr_preferred", control::Comparison::kAtLeast, 0.75, 0.7});
  decision.detected = control::parameters_of(policy, state, sustainable_per_s);
  decision.enforced = control::enforced_of(policy, policy.modes, decision.detected);
  decision.stale = control::stale_parameters(policy, state, sustainable_per_s);
  return tuple;
}

/// A window of an agent; the host follows the worst of `decisions`, which are sorted by port.
inline std::shared_ptr<Snapshot> snapshot_of(std::shared_ptr<const Look> look,
                                             std::vector<control::TupleDecision> decisions, std::int64_t second = 0,
                                             const control::Policy& policy = {}) {
  auto setup = std::make_shared<Setup>();
  setup->identity = {"desk", "0.1.0", "self", moment(-60), base::Seconds(1)};
  setup->policy = policy;
  setup->sources = {{"sock_diag", 0, true, ""}, {"bpf_state", 1, false, "CAP_PERFMON"}};
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->setup = setup;
  snapshot->look = std::move(look);
  snapshot->at = moment(second);
  snapshot->window = 42;
  snapshot->observer.pass = base::Microseconds(2'100);
  snapshot->observer.interval = base::Seconds(1);
  snapshot->observer.windows = 7;
  control::HostDecision& host = snapshot->round.host;
  host.since = moment(-30).steady;
  for (const control::TupleDecision& tuple : decisions) {
    if (tuple.decision.stress) host.p_stress = std::max(host.p_stress.value_or(0), tuple.decision.stress->probability);
    if (tuple.decision.standing.state <= host.standing.state) continue;
    host.standing = tuple.decision.standing;
    host.subject = tuple.tuple;
    host.reasons = tuple.decision.reasons;
  }
  host.detected = control::parameters_of(policy, host.standing.state, 10);
  host.enforced = control::enforced_of(policy, policy.modes, host.detected);
  host.stale = control::stale_parameters(policy, host.standing.state, 10);
  snapshot->round.tuples = std::move(decisions);
  return snapshot;
}

}  // namespace tidewaiter::agent
