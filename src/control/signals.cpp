// SPDX-License-Identifier: Apache-2.0
#include "control/signals.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <limits>

#include "model/proportion.h"

namespace tidewaiter::control {
namespace {

constexpr std::uint8_t kLastFive = 0b1'1111;
constexpr double kRiseAboveMean = 0.01;
constexpr base::Nanoseconds kMeanOver = base::Seconds(10);
constexpr double kNever = std::numeric_limits<double>::infinity();

double seconds(base::Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

void follow(std::optional<double>& mean, const std::optional<double>& value, base::Nanoseconds elapsed) {
  if (!value) return;
  const double share = 1.0 - std::exp(-seconds(elapsed) / seconds(kMeanOver));
  mean = mean ? *mean + share * (*value - *mean) : *value;
}

bool is_above(const std::optional<double>& value, const std::optional<double>& mean) {
  return value && mean && *value > *mean + kRiseAboveMean;
}

/// A latency over its GREEN median; absent below enough events.
std::optional<double> ratio(const std::optional<telemetry::Percentile>& latency, const Baseline& baseline, double prior,
                            const Policy& policy) {
  if (!latency || latency->count < policy.enough_attempts) return std::nullopt;
  return latency->p95_us / baseline.value(prior);
}

/// A failure rate as it is judged: the share itself, or what it is at least where attempts are few.
std::optional<double> judged(std::uint32_t failures, std::uint32_t attempts, const Policy& policy) {
  if (attempts == 0) return std::nullopt;
  if (attempts < policy.enough_attempts) return model::wilson_lower_bound(failures, attempts);
  return static_cast<double>(failures) / attempts;
}

/// Measured where it is measured, else by the expected cost of the search.
std::optional<bool> is_past_cliff(const TupleState& state, const WindowInput& window, const Policy& policy) {
  const auto measured = ratio(window.features.port_search_time, state.port_search, policy.prior_port_search_us, policy);
  if (measured) return *measured > policy.search_cliff_ratio;
  return window.is_past_cliff;
}

bool is_blown_out(const TupleState& state, const WindowInput& window, const Policy& policy) {
  const auto& features = window.features;
  const auto connect = ratio(features.connect_time, state.connect_time, policy.prior_connect_time_us, policy);
  const auto send = ratio(features.send_delay, state.send_delay, policy.prior_send_delay_us, policy);
  return connect.value_or(0) > policy.blowout_ratio || send.value_or(0) > policy.blowout_ratio;
}

void learn(Baseline& baseline, const std::optional<telemetry::Percentile>& latency, const Policy& policy) {
  if (latency && latency->count >= policy.enough_attempts) baseline.learn(latency->p95_us);
}

model::StressInputs stress_inputs(const TupleState& state, const Signals& signals) {
  const WindowInput& window = state.last_input;
  model::StressInputs inputs{
      window.features.ppr, window.features.twr, std::nullopt, std::nullopt, window.features.retry_queue_depth,
      std::nullopt};
  inputs.connect_time_ratio = signals[Signal::kConnectTimeRatio];
  if (const auto& pooled = window.features.pooled_connects; pooled && pooled->attempts > 0) {
    inputs.local_failure_rate = pooled->failed_local / (pooled->attempts + 1.0);
  }
  if (window.features.reconnects_per_s && window.sustainable_per_s > 0) {
    inputs.reconnect_ratio = *window.features.reconnects_per_s / window.sustainable_per_s;
  }
  return inputs;
}

void read_connects(const TupleState& state, const Policy& policy, base::Instant now, Signals& signals) {
  const telemetry::Features& features = state.last_input.features;
  if (features.connects || state.last_local_failure) {
    const std::uint32_t counted = features.connects ? features.connects->failed_local : 0;
    signals.set(Signal::kLocalFailures, counted + (state.guard_failure ? 1.0 : 0.0));
    signals.set(Signal::kLocalFailureWindows, std::popcount(state.failure_windows));
    signals.set(Signal::kSinceLocalFailure,
                state.last_local_failure ? seconds(now - *state.last_local_failure) : kNever);
  }
  if (const auto& pooled = features.pooled_connects) {
    signals.set(Signal::kFailureRate, judged(pooled->failed(), pooled->attempts, policy));
    signals.set(Signal::kLocalFailureRate, judged(pooled->failed_local, pooled->attempts, policy));
    signals.set(Signal::kPeerFailureRate, judged(pooled->failed_peer, pooled->attempts, policy));
  }
}

}  // namespace

void remember(TupleState& state, const WindowInput& window, const Policy& policy, base::Instant now) {
  const base::Nanoseconds elapsed = state.last_window ? now - *state.last_window : kMeanOver;
  state.last_window = now;
  state.missed_windows = 0;
  state.last_input = window;
  const telemetry::Features& features = window.features;
  follow(state.mean_ppr, features.ppr, elapsed);
  follow(state.mean_twr, features.twr, elapsed);

  const bool is_past = is_past_cliff(state, window, policy).value_or(false);
  state.past_cliff_windows = is_past ? state.past_cliff_windows + 1 : 0;
  const bool failed = state.guard_failure || (features.connects && features.connects->failed_local > 0);
  state.guard_failure = false;
  state.failure_windows = static_cast<std::uint8_t>((state.failure_windows << 1 | (failed ? 1 : 0)) & kLastFive);
  if (failed) state.last_local_failure = now;
  const bool counts =
      state.orders.state >= State::kOrange && !is_peers_doing(state) && is_blown_out(state, window, policy);
  state.blowout_windows = counts ? state.blowout_windows + 1 : 0;

  if (state.whole.state == State::kGreen && !state.is_stale) {
    learn(state.connect_time, features.connect_time, policy);
    learn(state.send_delay, features.send_delay, policy);
    learn(state.port_search, features.port_search_time, policy);
  }
}

bool is_peers_doing(const TupleState& state) {
  const telemetry::Features& features = state.last_input.features;
  const auto has_local = [](const std::optional<telemetry::ConnectCounts>& counts) {
    return counts && counts->failed_local > 0;
  };
  return state.has_peer_fault && !state.guard_failure && !has_local(features.connects) &&
         !has_local(features.pooled_connects);
}

Signals signals_of(const TupleState& state, const Policy& policy, base::Instant now) {
  const WindowInput& window = state.last_input;
  const telemetry::Features& features = window.features;
  Signals signals;
  signals.set(Signal::kPpr, features.ppr);
  signals.set(Signal::kTwr, features.twr);
  signals.is_ppr_rising = is_above(features.ppr, state.mean_ppr);
  signals.is_twr_rising = is_above(features.twr, state.mean_twr);
  if (!window.is_served_by_connector) {
    signals.set(Signal::kPprPreferred, features.ppr_preferred);
    signals.set(Signal::kTimeToCliff, window.time_to_cliff_s);
    if (is_past_cliff(state, window, policy)) signals.set(Signal::kPastCliffWindows, state.past_cliff_windows);
  }
  signals.set(Signal::kTimeToExhaustion, window.time_to_exhaustion_s);
  signals.set(Signal::kFreeMargin, window.free_margin);
  signals.set(Signal::kConnectTimeRatio,
              ratio(features.connect_time, state.connect_time, policy.prior_connect_time_us, policy));
  signals.set(Signal::kSendDelayRatio,
              ratio(features.send_delay, state.send_delay, policy.prior_send_delay_us, policy));
  signals.set(Signal::kBurstIndex, features.burst_index);
  if (signals[Signal::kConnectTimeRatio] || signals[Signal::kSendDelayRatio]) {
    signals.set(Signal::kBlowoutWindows, state.blowout_windows);
  }
  signals.set(Signal::kOperatorHold, state.is_held ? 1 : 0);
  read_connects(state, policy, now, signals);
  signals.stress = model::port_stress(*policy.stress_model, stress_inputs(state, signals));
  if (signals.stress) signals.set(Signal::kStress, signals.stress->probability);
  return signals;
}

}  // namespace tidewaiter::control
