// SPDX-License-Identifier: Apache-2.0
//
// A client that obeys the enforced connect rate, under a constant offered load: the controller must settle, and let go
// when the load falls.
#include <array>
#include <fmt/format.h>
#include <set>

#include "lab/churn_client.h"
#include "lab/clock.h"
#include "lab/loop_simulation.h"
#include "lab/obedience.h"
#include "lab/scenarios/all.h"
#include "lab/stage.h"
#include "lab/watch.h"

namespace tidewaiter::lab {
namespace {

constexpr base::Nanoseconds kTimeWait = base::Seconds(60);
constexpr base::Nanoseconds kLong = 20 * kTimeWait;
constexpr base::Nanoseconds kSettled = 4 * kTimeWait;  // by then the ranges of TIME_WAITs have filled
constexpr base::Nanoseconds kFastestCycle = base::Seconds(600);
constexpr base::Nanoseconds kReleased = 5 * kTimeWait;  // after the load fell: GREEN by then
constexpr std::array kLoads{1.5, 1.05, 0.95, 0.5};      // of what the ports sustain

void simulate(Context& context, double load) {
  LoopOptions options;
  options.ports.seed = context.seed();
  LoopSimulation loop(options);
  const double sustainable = sustainable_per_s(options.ports.hi - options.ports.lo + 1U);
  loop.run(kLong, load * sustainable);
  const auto cycle = fastest_cycle(loop.transitions(), kSettled);
  const std::string name = fmt::format("simulated at {:.2f} × what is sustainable", load);
  context.tell("simulation", fmt::format("{}, 20 TIME_WAIT periods: {}", name, history_of(loop.transitions())),
               {{"load", load},
                {"offered", loop.counts().offered},
                {"refused", loop.counts().refused_by_limit},
                {"failed", loop.counts().failed},
                {"transitions", loop.transitions().size()}});
  context.expect(name + ": no limit cycle", "none faster than 10 min",
                 cycle ? fmt::format("one of {:.0f} s", to_seconds(*cycle)) : "none",
                 !cycle || *cycle >= kFastestCycle);
  loop.run(kReleased, 0.3 * sustainable);
  context.expect(name + ", then at 0.3: no latch", "GREEN within 5 min", std::string(control::name(loop.state())),
                 loop.state() == control::State::kGreen);
}

constexpr std::uint32_t kPorts = 1'000;
constexpr double kOverload = 1.5;
constexpr double kLight = 0.2;
constexpr base::Nanoseconds kOverloaded = base::Seconds(200);
constexpr base::Nanoseconds kRelief = base::Seconds(150);

/// Rises after `settled_s` into a state that was entered from below after it before.
std::size_t repeated_rises(const std::vector<SeenTransition>& transitions, double settled_s) {
  std::set<std::string> entered;
  std::size_t repeated = 0;
  for (const SeenTransition& transition : transitions) {
    if (transition.t_s < settled_s) continue;
    if (severity_of(transition.to).value_or(0) <= severity_of(transition.from).value_or(0)) continue;
    if (!entered.insert(transition.to).second) ++repeated;
  }
  return repeated;
}

base::Result<void> run_for_real(Context& context) {
  auto stage = Stage::set(context, {.ports = kPorts});
  if (!stage) return tl::unexpected(stage.error());
  const Endpoint& destination = stage->destination();
  auto limit = obey_agent(stage->agent_options().state_directory, stage->topology().client_address(), destination);
  if (!limit) return base::wrap(limit.error(), "attach to the agent");
  Watch watch(context, stage->agent(), destination.port);
  const double sustainable = sustainable_per_s(kPorts);
  context.tell("churn",
               fmt::format("for real: a client wants {:.0f} connects a second where {:.1f} last, and obeys the "
                           "agent's parameter block",
                           kOverload * sustainable, sustainable));
  auto client = ChurnClient::start(
      stage->topology().client(),
      {.server = destination, .seed = context.seed(), .load = constant(kOverload * sustainable), .limit = *limit});
  if (!client) return tl::unexpected(client.error());
  const base::Instant began = read_clock();
  const auto show = [&](base::Nanoseconds whole) {
    const auto totals = (*client)->log().totals();
    context.show_progress(to_seconds(read_clock() - began) / to_seconds(whole),
                          fmt::format("{}, {} connects, {} refused by the limit, {} failed", watch.state(),
                                      totals.attempts, totals.refused_by_limit, totals.failed));
  };
  const auto look = [&](const SeenWindow&) {
    show(kOverloaded + kRelief);
    return false;
  };
  if (auto done = watch.follow(began + kOverloaded, look); !done || !*done) {
    return done ? base::Result<void>() : tl::unexpected(done.error());
  }
  const auto totals = (*client)->log().totals();
  const std::size_t repeated = repeated_rises(watch.transitions(), context.seconds_at(began + kTimeWait));
  context.expect("for real, 200 s at 1.5: no limit cycle",
                 "after the first minute no state is entered twice from below", std::to_string(repeated),
                 repeated == 0 && !watch.transitions().empty());
  context.expect("for real, 200 s at 1.5: the client that obeys never runs out", "some refused, none failed",
                 fmt::format("{} of {} refused, {} failed", totals.refused_by_limit, totals.offered, totals.failed),
                 totals.refused_by_limit > 0 && totals.failed == 0);
  (*client)->set_load(constant(kLight * sustainable));
  const base::Instant fell = read_clock();
  context.tell("relief", fmt::format("the client wants {:.1f} connects a second now", kLight * sustainable));
  const auto is_green = [&](const SeenWindow&) {
    show(kOverloaded + kRelief);
    return watch.state() == "GREEN";
  };
  if (auto done = watch.follow(fell + kRelief, is_green); !done || !*done) {
    return done ? base::Result<void>() : tl::unexpected(done.error());
  }
  context.expect("for real, then at 0.2: no latch", "GREEN within 150 s",
                 fmt::format("{} after {:.0f} s", watch.state(), to_seconds(read_clock() - fell)),
                 watch.state() == "GREEN");
  return stage->agent().stop();
}

base::Result<void> run(Context& context) {
  for (const double load : kLoads) {
    if (context.is_interrupted()) return {};
    simulate(context, load);
  }
  return run_for_real(context);
}

}  // namespace

const Scenario kClosedLoop{"closed-loop",
                           "A client that obeys: no limit cycle above what is sustainable, no latch below",
                           base::Seconds(290), run};

}  // namespace tidewaiter::lab
