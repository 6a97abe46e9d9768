// SPDX-License-Identifier: Apache-2.0
#include "model/port_stress.h"

#include <algorithm>
#include <cmath>

namespace tidewaiter::model {
namespace {

/// How the inputs enter, in the order of StressInput. Times and depths by their logarithm: a doubling is a doubling.
std::array<std::optional<double>, kStressInputs> transformed(const StressInputs& inputs) {
  const auto map = [](const std::optional<double>& value, auto&& function) -> std::optional<double> {
    if (!value || !std::isfinite(*value)) return std::nullopt;
    return function(std::max(0.0, *value));
  };
  const auto share = [](double x) { return std::min(1.0, x); };
  return {map(inputs.ppr, share),
          map(inputs.twr, share),
          map(inputs.local_failure_rate, share),
          map(inputs.connect_time_ratio, [](double x) { return std::clamp(std::log2(std::max(x, 1e-9)), 0.0, 6.0); }),
          map(inputs.retry_queue_depth, [](double x) { return std::log1p(x); }),
          map(inputs.reconnect_ratio, [](double x) { return std::min(2.0, x); })};
}

}  // namespace

const StressModel& prior_stress_model() {
  static constexpr StressModel kPrior{
      "prior/1",
      -13.9,
      {{{StressInput::kPpr, "ppr", "port pressure ratio", 13.0, 0.0},
        {StressInput::kTwr, "twr", "TIME_WAIT ratio", 3.6, 0.0},
        {StressInput::kLocalFailureRate, "cfr_local", "local failures / (attempts + 1)", 15.0, 0.02},
        {StressInput::kConnectTimeRatio, "ctl95_ratio", "log2 of CTL95 over its GREEN median, 0 to 6", 0.5, 0.5},
        {StressInput::kRetryQueue, "retry_queue_depth", "log(1 + depth)", 0.4, 0.5},
        {StressInput::kReconnects, "reconnect_ratio", "reconnects/s over the sustainable rate, at most 2", 1.0, 0.2}}}};
  return kPrior;
}

std::optional<Stress> port_stress(const StressModel& model, const StressInputs& inputs) {
  const auto values = transformed(inputs);
  if (!values[static_cast<std::size_t>(StressInput::kPpr)] && !values[static_cast<std::size_t>(StressInput::kTwr)])
    return std::nullopt;
  Stress stress;
  double predictor = model.intercept;
  for (const StressTerm& term : model.terms) {
    const auto place = static_cast<std::size_t>(term.input);
    if (!values[place]) continue;
    predictor += term.coefficient * (*values[place] - term.reference);
    stress.inputs = static_cast<std::uint8_t>(stress.inputs | 1U << place);
  }
  stress.probability = 1.0 / (1.0 + std::exp(-predictor));
  return stress;
}

std::string inputs_text(const StressModel& model, const Stress& stress) {
  std::string text;
  for (const StressTerm& term : model.terms) {
    if (stress.uses(term.input)) text += (text.empty() ? "" : " ") + std::string(term.name);
  }
  return text;
}

}  // namespace tidewaiter::model
