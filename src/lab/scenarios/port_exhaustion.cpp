// SPDX-License-Identifier: Apache-2.0
//
// A client that closes first and connects too often uses up its ports. The agent must see it come, in good time.
#include <cerrno>
#include <cmath>
#include <fmt/format.h>

#include "lab/churn_client.h"
#include "lab/clock.h"
#include "lab/scenarios/all.h"
#include "lab/stage.h"
#include "lab/watch.h"

namespace tidewaiter::lab {
namespace {

constexpr std::uint32_t kPorts = 2'000;
constexpr std::uint16_t kLowestPort = 40'000;  // its parity is the one that connect() tries first
constexpr double kOverload = 1.6;              // times what the ports sustain
constexpr base::Nanoseconds kCalm = base::Seconds(3);
constexpr base::Nanoseconds kLatestExhaustion = base::Seconds(60);
constexpr base::Nanoseconds kFailing = base::Seconds(12);    // for how long connects are let fail
constexpr base::Nanoseconds kRecovery = base::Seconds(150);  // all TIME_WAITs, then three dwell times
constexpr double kForecastAhead_s = 20;
constexpr double kForecastTolerance = 0.15;
constexpr double kSlack_s = 0.3;  // of a dwell time as it is read from window times

struct Moments {
  std::optional<base::Instant> cliff;
  std::optional<base::Instant> exhaustion;
  base::Instant began;
  base::Instant stopped;
};

std::string at_second(double t_s) { return fmt::format("t = {:.1f} s", t_s); }

/// Tells what the client itself sees, once each.
void notice(Context& context, const ChurnClient& client, Moments& moments) {
  if (!moments.cliff && (moments.cliff = client.log().first_of_other_parity(kLowestPort))) {
    const auto before = client.log().median_connect(moments.began, *moments.cliff);
    context.tell_at(
        *moments.cliff, "cliff",
        fmt::format("the cliff: all {} even ports are taken, and every connect() looks at each of them first "
                    "(it took {:.0f} µs until now)",
                    kPorts / 2, before ? static_cast<double>(before->count()) / 1e3 : 0.0));
  }
  if (!moments.exhaustion && (moments.exhaustion = client.log().first_failure(EADDRNOTAVAIL))) {
    context.tell_at(*moments.exhaustion, "exhausted",
                    "the first connect() fails: EADDRNOTAVAIL. No counter of the kernel moves");
  }
}

std::string glance(const SeenWindow& window, std::uint16_t port, const std::string& state) {
  const SeenTuple* tuple = window.find(port);
  if (tuple == nullptr || !tuple->free) return fmt::format("{}, no port in use", state);
  const std::string forecast =
      tuple->time_to_exhaustion_s ? fmt::format(", exhausted in {:.0f} s", *tuple->time_to_exhaustion_s) : "";
  return fmt::format("{}, {:.0f} of {} ports free{}", state, *tuple->free, kPorts, forecast);
}

void expect_warnings(Context& context, const Watch& watch, const Moments& moments) {
  const SeenTransition* yellow = watch.first_at_least(kYellow);
  const SeenTransition* orange = watch.first_at_least(kOrange);
  const double cliff = context.seconds_at(*moments.cliff);
  const double exhaustion = context.seconds_at(*moments.exhaustion);
  context.expect("GREEN is left before the cliff", "at least YELLOW before " + at_second(cliff),
                 yellow != nullptr ? fmt::format("{} at {}", yellow->to, at_second(yellow->t_s)) : "never",
                 yellow != nullptr && yellow->from == "GREEN" && yellow->t_s < cliff);
  context.expect("at least ORANGE before the first EADDRNOTAVAIL", "before " + at_second(exhaustion),
                 orange != nullptr ? fmt::format("{} at {}, {:.0f} s before it", orange->to, at_second(orange->t_s),
                                                 exhaustion - orange->t_s)
                                   : "never",
                 orange != nullptr && orange->t_s < exhaustion);
}

void expect_forecast(Context& context, const Watch& watch, const Moments& moments, std::uint16_t port) {
  const double exhaustion = context.seconds_at(*moments.exhaustion);
  const SeenWindow* window = watch.nearest(exhaustion - kForecastAhead_s);
  const SeenTuple* tuple = window != nullptr ? window->find(port) : nullptr;
  const auto forecast = tuple != nullptr ? tuple->time_to_exhaustion_s : std::nullopt;
  const double left = window != nullptr ? exhaustion - window->t_s : 0;
  const double error = forecast ? *forecast / left - 1 : 0;
  context.expect("the time to exhaustion, forecast 20 s ahead", fmt::format("{:.1f} s ± 15 %", left),
                 forecast ? fmt::format("{:.1f} s ({:+.1f} %)", *forecast, 100 * error) : "none",
                 forecast && std::abs(error) <= kForecastTolerance);
}

void expect_red(Context& context, const Watch& watch, const Moments& moments, std::uint16_t port) {
  const double from = context.seconds_at(*moments.exhaustion) + 2;
  const double to = context.seconds_at(moments.stopped);
  int windows = 0;
  int red = 0;
  for (const SeenWindow& window : watch.windows()) {
    if (window.t_s < from || window.t_s > to) continue;
    const SeenTuple* tuple = window.find(port);
    ++windows;
    if (tuple != nullptr && tuple->state == "RED") ++red;
  }
  context.expect("RED while connects fail", fmt::format("in every window from {:.0f} to {:.0f} s", from, to),
                 fmt::format("in {} of {}", red, windows), windows > 0 && red == windows);
}

void expect_way_back(Context& context, const Watch& watch, const Moments& moments) {
  const auto& transitions = watch.transitions();
  const double stopped = context.seconds_at(moments.stopped);
  const bool is_green = watch.state() == "GREEN" && !transitions.empty();
  const double back = is_green ? transitions.back().t_s : 0;
  context.expect("back to GREEN after the churn has stopped", "after " + at_second(stopped),
                 is_green ? at_second(back) : watch.state(), is_green && back > stopped);
  const double shortfall = worst_dwell_shortfall(transitions, kSlack_s);
  context.expect("no state is left before its dwell time", "YELLOW 10 s, ORANGE 20 s, RED 30 s",
                 shortfall > 0 ? fmt::format("{:.1f} s too early", shortfall) : "none too early", shortfall <= 0);
}

void expect_cost(Context& context, const ChurnClient& client, const Moments& moments) {
  const auto before = client.log().median_connect(moments.began, *moments.cliff);
  const auto after = client.log().median_connect(*moments.cliff, *moments.exhaustion);
  const double before_us = before ? static_cast<double>(before->count()) / 1e3 : 0;
  const double after_us = after ? static_cast<double>(after->count()) / 1e3 : 0;
  context.expect("what connect() costs: median before and after the cliff", "more after it",
                 fmt::format("{:.1f} µs → {:.1f} µs", before_us, after_us), before && after && after > before);
}

base::Result<void> run(Context& context) {
  context.tell("stage",
               fmt::format("a network of its own with {} local ports; every closed connection keeps its port for "
                           "60 s, so {:.0f} connects/s is all that lasts",
                           kPorts, sustainable_per_s(kPorts)));
  auto stage = Stage::set(context, {.ports = kPorts});
  if (!stage) return tl::unexpected(stage.error());
  const std::uint16_t port = stage->destination().port;
  Watch watch(context, stage->agent(), port);
  context.tell("agent", "the agent looks once a second; it sees only what the kernel shows everybody");
  if (auto calm = watch.follow(read_clock() + kCalm); !calm) return tl::unexpected(calm.error());

  const double rate = kOverload * sustainable_per_s(kPorts);
  Moments moments;
  moments.began = read_clock();
  context.tell("churn",
               fmt::format("a client connects {:.0f} times a second, {} times what lasts; by arithmetic the even "
                           "ports end after {:.0f} s, all of them after {:.0f} s",
                           rate, kOverload, kPorts / (2 * rate), kPorts / rate));
  auto client = ChurnClient::start(stage->topology().client(),
                                   {.server = stage->destination(), .seed = context.seed(), .load = constant(rate)});
  if (!client) return tl::unexpected(client.error());
  const double whole_s = to_seconds(kCalm) + kPorts / rate + 90;
  const auto look = [&](const SeenWindow& window) {
    notice(context, **client, moments);
    context.show_progress(context.seconds_now() / whole_s, glance(window, port, watch.state()));
    return moments.exhaustion && read_clock() >= *moments.exhaustion + kFailing;
  };
  if (auto done = watch.follow(moments.began + kLatestExhaustion, look); !done || !*done) {
    return done ? base::Result<void>() : tl::unexpected(done.error());
  }
  (*client)->set_load(constant(0));
  moments.stopped = read_clock();
  if (!moments.cliff || !moments.exhaustion) {
    return base::fail(base::ErrorCode::kUnavailable, "the ports did not run out within a minute; is the machine busy?");
  }
  const auto totals = (*client)->log().totals();
  context.tell("stop", fmt::format("the client stops: {} connects, {} of them failed. The ports come back as their "
                                   "TIME_WAITs end",
                                   totals.attempts, totals.failed));
  const auto until_green = [&](const SeenWindow& window) {
    context.show_progress(context.seconds_now() / whole_s, glance(window, port, watch.state()));
    return watch.state() == "GREEN";
  };
  if (auto done = watch.follow(moments.stopped + kRecovery, until_green); !done || !*done) {
    return done ? base::Result<void>() : tl::unexpected(done.error());
  }
  expect_warnings(context, watch, moments);
  expect_forecast(context, watch, moments, port);
  expect_red(context, watch, moments, port);
  expect_way_back(context, watch, moments);
  expect_cost(context, **client, moments);
  return stage->agent().stop();
}

}  // namespace

const Scenario kPortExhaustion{"port-exhaustion",
                               "A client that closes first runs out of ports: seen in advance, and released in order",
                               base::Seconds(130), run};

}  // namespace tidewaiter::lab
