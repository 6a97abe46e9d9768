// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidewaiter::model {

/// What the port-stress model looks at. Absent: no source gives it.
struct StressInputs {
  std::optional<double> ppr;                 ///< port pressure ratio
  std::optional<double> twr;                 ///< TIME_WAIT ratio
  std::optional<double> local_failure_rate;  ///< f / (n + 1) of connects that failed for reasons of this host
  std::optional<double> connect_time_ratio;  ///< CTL95 over its GREEN median
  std::optional<double> retry_queue_depth;   ///< retries waiting, scheduled or firing
  std::optional<double> reconnect_ratio;     ///< reconnects per second over the sustainable rate
};

enum class StressInput : std::uint8_t { kPpr, kTwr, kLocalFailureRate, kConnectTimeRatio, kRetryQueue, kReconnects };
inline constexpr std::size_t kStressInputs = 6;

/// One term of the linear predictor: coefficient · (x − reference), x = the transformed input. An input that is absent
/// is taken at its reference, so its term is 0: there is a form of the model for each set of inputs.
struct StressTerm {
  StressInput input;
  std::string_view name;
  std::string_view transform;  ///< in words, for the documentation
  double coefficient;          ///< ≥ 0: more of anything is never calmer
  double reference;            ///< between calm and stressed: knowing that it is calm lowers p
};

/// P(port stress) = logistic(intercept + Σ terms).
struct StressModel {
  std::string_view version;
  double intercept;
  std::array<StressTerm, kStressInputs> terms;
};

/// A probability and what it rests on.
struct Stress {
  double probability = 0;
  std::uint8_t inputs = 0;  ///< bit i: StressInput i was known

  [[nodiscard]] bool uses(StressInput input) const { return (inputs >> static_cast<unsigned>(input) & 1U) != 0; }
};

/// The model that is built in, before any has been learnt: "prior/1". docs/design/port_stress.md gives the reason of
/// each coefficient.
[[nodiscard]] const StressModel& prior_stress_model();

/// The model applied. Absent when neither port ratio is known: the symptoms alone do not tell ports from peers.
[[nodiscard]] std::optional<Stress> port_stress(const StressModel& model, const StressInputs& inputs);

/// The names of the inputs that were known: "ppr twr".
[[nodiscard]] std::string inputs_text(const StressModel& model, const Stress& stress);

}  // namespace tidewaiter::model
