// SPDX-License-Identifier: Apache-2.0
//
// Loads of many shapes against a small range, each with an agent of its own: how good is the forecast, what does it
// miss, and when does it cry wolf?
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <fmt/format.h>
#include <thread>
#include <vector>

#include "lab/churn_client.h"
#include "lab/clock.h"
#include "lab/scenarios/all.h"
#include "lab/stage.h"
#include "lab/watch.h"

namespace tidewaiter::lab {
namespace {

constexpr std::uint32_t kPorts = 1'000;  // 16.7 connects/s last
constexpr base::Nanoseconds kDuration = base::Seconds(75);
constexpr double kShortestLead_s = 5;    // a warning that comes later than this is a miss
constexpr double kNear = 0.75;           // pressure from which a warning is no false alarm
constexpr double kForecastAhead_s = 10;  // where forecasts are scored
constexpr double kTolerance = 0.25;      // of a forecast under a constant load; chance alone makes 10 %
constexpr std::size_t kAllowedFalseAlarms = 1;

struct Shape {
  const char* name;
  LoadShape load;
  double reset_share = 0;
  double held_share = 0;
  bool is_constant = false;  ///< as forecasts assume
};

std::vector<Shape> shapes() {
  using base::Seconds;
  return {{"step to 3 × what lasts", constant(50), 0, 0, true},
          {"slow ramp to 2.4 ×", ramp(0, 40, Seconds(60))},
          {"pulses above: 40/s, 10 s on and off", pulses(40, Seconds(10), Seconds(10))},
          {"pulses below: 14/s, 10 s on and off", pulses(14, Seconds(10), Seconds(10))},
          {"turns back at 80 %", then(constant(30), Seconds(27), constant(1))},
          {"turns back at 60 %", then(constant(30), Seconds(20), constant(1))},
          {"ramp that turns back at 36 %", then(ramp(0, 18, Seconds(40)), Seconds(40), constant(3))},
          {"70 % resets, sustainable", constant(40), 0.7},
          {"half resets, not sustainable", constant(60), 0.5, 0, true},
          {"grows by held connections", constant(25), 0, 0.4, true}};
}

/// What became of one shape. Times are seconds since the scenario began.
struct Score {
  base::Result<void> outcome;
  std::optional<double> exhausted;
  std::optional<double> warned;  ///< at least ORANGE
  bool is_by_forecast = false;   ///< the warning names the time to exhaustion
  double highest_pressure = 0;
  std::optional<double> forecast_error;  ///< relative, 10 s ahead

  [[nodiscard]] bool is_miss() const { return exhausted && (!warned || *exhausted - *warned < kShortestLead_s); }
  [[nodiscard]] bool is_false_alarm() const {
    return warned && is_by_forecast && !exhausted && highest_pressure < kNear;
  }
};

void score_forecast(const Watch& watch, std::uint16_t port, Score& score) {
  const SeenWindow* window = watch.nearest(*score.exhausted - kForecastAhead_s);
  const SeenTuple* tuple = window != nullptr ? window->find(port) : nullptr;
  const double left = window != nullptr ? *score.exhausted - window->t_s : 0;
  if (tuple != nullptr && left > kForecastAhead_s / 2 && tuple->time_to_exhaustion_s) {
    score.forecast_error = *tuple->time_to_exhaustion_s / left - 1;
  }
}

Score play(Context& context, const Shape& shape) {
  Score score;
  auto stage = Stage::set(context, {.ports = kPorts});
  if (!stage) {
    score.outcome = tl::unexpected(stage.error());
    return score;
  }
  const std::uint16_t port = stage->destination().port;
  Watch watch(context, stage->agent(), port, fmt::format("[{}] ", shape.name));
  auto client = ChurnClient::start(stage->topology().client(), {.server = stage->destination(),
                                                                .seed = context.seed(),
                                                                .load = shape.load,
                                                                .reset_share = shape.reset_share,
                                                                .held_share = shape.held_share});
  if (!client) {
    score.outcome = tl::unexpected(client.error());
    return score;
  }
  const auto done = watch.follow(read_clock() + kDuration, [&](const SeenWindow& window) {
    const SeenTuple* tuple = window.find(port);
    if (tuple != nullptr && tuple->ppr) score.highest_pressure = std::max(score.highest_pressure, *tuple->ppr);
    return (*client)->log().first_failure(EADDRNOTAVAIL).has_value();
  });
  if (!done) score.outcome = tl::unexpected(done.error());
  if (const auto failure = (*client)->log().first_failure(EADDRNOTAVAIL))
    score.exhausted = context.seconds_at(*failure);
  if (const SeenTransition* warning = watch.first_at_least(kOrange)) {
    score.warned = warning->t_s;
    score.is_by_forecast = std::any_of(warning->reasons.begin(), warning->reasons.end(), [](const SeenReason& reason) {
      return reason.condition == "time_to_exhaustion";
    });
  }
  if (score.exhausted) score_forecast(watch, port, score);
  return score;
}

std::string sentence(const Shape& shape, const Score& score) {
  if (!score.outcome) return fmt::format("{}: {}", shape.name, score.outcome.error().message());
  const std::string end =
      score.exhausted ? "ran out" : fmt::format("never ran out, at most {:.0f} % in use", 100 * score.highest_pressure);
  std::string warning = "no warning";
  if (score.warned && score.exhausted) warning = fmt::format("warned {:.1f} s ahead", *score.exhausted - *score.warned);
  if (score.warned && !score.exhausted) warning = "warned";
  const std::string error =
      score.forecast_error ? fmt::format(", forecast off by {:+.0f} %", 100 * *score.forecast_error) : "";
  return fmt::format("{}: {}, {}{}", shape.name, end, warning, error);
}

/// The shapes side by side, as many at a time as the machine has room for.
std::vector<Score> play_all(Context& context, const std::vector<Shape>& all) {
  const std::size_t lanes = std::min<std::size_t>(all.size(), 5UL * std::max(1U, std::thread::hardware_concurrency()));
  std::vector<Score> scores(all.size());
  std::atomic<std::size_t> next = 0;
  std::vector<std::thread> threads;
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < all.size(); i = next++) {
        scores[i] = play(context, all[i]);
        context.tell("shape", sentence(all[i], scores[i]));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return scores;
}

std::string names_of(const std::vector<Shape>& all, const std::vector<Score>& scores,
                     bool (Score::*is_counted)() const) {
  std::string names;
  std::size_t count = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!(scores[i].*is_counted)()) continue;
    ++count;
    names += fmt::format("{}{}", names.empty() ? ": " : "; ", all[i].name);
  }
  return fmt::format("{}{}", count, names);
}

void judge(Context& context, const std::vector<Shape>& all, const std::vector<Score>& scores) {
  const auto count = [&](bool (Score::*is_counted)() const) {
    return std::count_if(scores.begin(), scores.end(), [&](const Score& score) { return (score.*is_counted)(); });
  };
  const auto exhausted =
      std::count_if(scores.begin(), scores.end(), [](const Score& score) { return score.exhausted; });
  context.expect("shapes that really run out", "5 of 10, so that there is something to miss",
                 fmt::format("{} of {}", exhausted, scores.size()), exhausted == 5);
  context.expect("misses: it ran out without ORANGE 5 s before", "0", names_of(all, scores, &Score::is_miss),
                 count(&Score::is_miss) == 0);
  context.expect("false alarms: ORANGE by the forecast, and three quarters of the ports were never in use", "at most 1",
                 names_of(all, scores, &Score::is_false_alarm),
                 count(&Score::is_false_alarm) <= static_cast<std::ptrdiff_t>(kAllowedFalseAlarms));
  std::string errors;
  double worst = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!scores[i].forecast_error || !all[i].is_constant) continue;
    errors += fmt::format("{}{:+.0f} %", errors.empty() ? "" : ", ", 100 * *scores[i].forecast_error);
    worst = std::max(worst, std::abs(*scores[i].forecast_error));
  }
  context.expect("the time to exhaustion, forecast 10 s ahead, where the load is constant", "within ± 25 %",
                 errors.empty() ? "none" : errors, !errors.empty() && worst <= kTolerance);
}

base::Result<void> run(Context& context) {
  const auto all = shapes();
  context.tell("stage",
               fmt::format("{} shapes of load, each against {} ports with an agent of its own; {:.1f} connects/s "
                           "last",
                           all.size(), kPorts, sustainable_per_s(kPorts)));
  const auto scores = play_all(context, all);
  if (context.is_interrupted()) return {};
  for (const Score& score : scores) {
    if (!score.outcome) return score.outcome;
  }
  judge(context, all, scores);
  return {};
}

}  // namespace

const Scenario kRamps{"ramps", "Ramps, pulses, resets and near misses: forecast errors, misses and false alarms",
                      base::Seconds(80), run};

}  // namespace tidewaiter::lab
