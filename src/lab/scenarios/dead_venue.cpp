// SPDX-License-Identifier: Apache-2.0
//
// One peer refuses everything. That is the peer's fault: nothing else may change its state, and no order is trimmed.
#include <algorithm>
#include <fmt/format.h>

#include "lab/churn_client.h"
#include "lab/clock.h"
#include "lab/pooled_client.h"
#include "lab/scenarios/all.h"
#include "lab/stage.h"
#include "lab/watch.h"

namespace tidewaiter::lab {
namespace {

constexpr std::uint16_t kDead = 9'100;
constexpr double kTriesPerSecond = 20;
constexpr double kChurnPerSecond = 5;
constexpr base::Nanoseconds kCalm = base::Seconds(3);
constexpr base::Nanoseconds kRefusing = base::Seconds(30);
constexpr base::Nanoseconds kBack = base::Seconds(75);
constexpr double kFaultWithin_s = 5;

struct Seen {
  std::optional<double> fault_s;  ///< first window with the fault
  std::optional<double> end_s;    ///< first one without, after it
  std::size_t windows = 0;        ///< in which the dead venue was refused, from the first fault on
  std::size_t with_fault = 0;     ///< of these
  std::size_t others_changed = 0;
  std::size_t orders_bound = 0;
  std::string worst = "GREEN";  ///< state of the dead venue's tuple
};

void note(const SeenWindow& window, bool is_refusing, Seen& seen) {
  for (const SeenTuple& tuple : window.tuples) {
    if (tuple.order_state != "GREEN") ++seen.orders_bound;
    if (tuple.port != kDead && (tuple.state != "GREEN" || tuple.has_peer_fault)) ++seen.others_changed;
    if (tuple.port != kDead) continue;
    if (severity_of(tuple.state).value_or(0) > severity_of(seen.worst).value_or(0)) seen.worst = tuple.state;
    if (tuple.has_peer_fault && !seen.fault_s) seen.fault_s = window.t_s;
    if (seen.fault_s && is_refusing) {
      ++seen.windows;
      if (tuple.has_peer_fault) ++seen.with_fault;
    }
    if (seen.fault_s && !tuple.has_peer_fault && !seen.end_s) seen.end_s = window.t_s;
  }
}

void expect_all(Context& context, const Watch& watch, const Seen& seen, const PooledClient& pool,
                const ChurnClient& churn) {
  context.expect("PEER_FAULT for the dead venue", "in every window, once it is there",
                 fmt::format("in {} of {}", seen.with_fault, seen.windows),
                 seen.windows >= 20 && seen.with_fault == seen.windows);
  context.expect("every other destination", "GREEN and without a fault in every window",
                 fmt::format("{} windows otherwise", seen.others_changed), seen.others_changed == 0);
  std::size_t transitions = 0;
  for (const SeenWindow& window : watch.windows()) {
    transitions += static_cast<std::size_t>(std::count_if(
        window.transitions.begin(), window.transitions.end(),
        [](const SeenTransition& transition) { return transition.scope == "tuple" && transition.port != kDead; }));
  }
  context.expect("transitions of other destinations", "0", std::to_string(transitions), transitions == 0);
  context.expect("orders, to the dead venue and elsewhere", "bound in no window",
                 fmt::format("bound in {}", seen.orders_bound), seen.orders_bound == 0);
  const auto totals = churn.log().totals();
  context.expect("what goes elsewhere", "works",
                 fmt::format("{} requests answered, {} not; {} connects, {} failed", pool.requests(),
                             pool.failed_requests(), totals.attempts, totals.failed),
                 pool.requests() > 0 && pool.failed_requests() == 0 && totals.attempts > 0 && totals.failed == 0);
}

base::Result<void> run(Context& context) {
  auto stage = Stage::set(context);
  if (!stage) return tl::unexpected(stage.error());
  const Network& network = stage->topology().client();
  Watch watch(context, stage->agent(), kDead);
  const bool sees_connects = watch.windows().back().connects.has_value();
  context.expect("the agent sees connects", "bpf_state is active", watch.windows().back().connect_source(),
                 sees_connects);
  if (!sees_connects) return {};
  const auto pool = PooledClient::start(network, {.server = stage->destination()});
  const auto churn = ChurnClient::start(
      network, {.server = stage->destination(), .seed = context.seed(), .load = constant(kChurnPerSecond)});
  if (!pool || !churn) return tl::unexpected(!pool ? pool.error() : churn.error());
  Seen seen;
  const base::Instant began = read_clock();
  const double whole_s = to_seconds(kCalm + kRefusing + kBack);
  const auto follow = [&](base::Instant until, bool is_refusing) {
    return watch.follow(until, [&](const SeenWindow& window) {
      note(window, is_refusing, seen);
      context.show_progress(to_seconds(read_clock() - began) / whole_s,
                            fmt::format("host {}, dead venue {}", window.state, watch.state()));
      return !is_refusing && seen.end_s;
    });
  };
  if (auto done = watch.follow(began + kCalm); !done || !*done) {
    return done ? base::Result<void>() : tl::unexpected(done.error());
  }
  context.tell("dead", fmt::format("a venue refuses every connect; its client tries {:.0f} times a second. Another "
                                   "venue works",
                                   kTriesPerSecond));
  const base::Instant died = read_clock();
  const auto client = ChurnClient::start(
      network,
      {.server = {.port = kDead}, .seed = context.seed() + 1, .load = constant(kTriesPerSecond), .reset_share = 1});
  if (!client) return tl::unexpected(client.error());
  if (auto done = follow(died + kRefusing, true); !done || !*done) {
    return done ? base::Result<void>() : tl::unexpected(done.error());
  }
  context.tell("back", "the venue is back");
  const base::Instant back = read_clock();
  const auto server = EchoServer::start(network, {.port = kDead});
  if (!server) return tl::unexpected(server.error());
  if (auto done = follow(back + kBack, false); !done || !*done) {
    return done ? base::Result<void>() : tl::unexpected(done.error());
  }
  const double fault_after = seen.fault_s ? *seen.fault_s - context.seconds_at(died) : 0;
  context.expect("the fault is seen", "within 5 s", seen.fault_s ? fmt::format("after {:.1f} s", fault_after) : "never",
                 seen.fault_s && fault_after <= kFaultWithin_s);
  expect_all(context, watch, seen, **pool, **churn);
  context.expect("the fault ends when the venue answers again", "within 75 s",
                 seen.end_s ? fmt::format("after {:.0f} s", *seen.end_s - context.seconds_at(back)) : "it does not",
                 seen.end_s && *seen.end_s > context.seconds_at(back));
  context.tell("worst", fmt::format("the dead venue's own tuple was {} at worst", seen.worst));
  return stage->agent().stop();
}

}  // namespace

const Scenario kDeadVenue{"dead-venue", "One peer refuses everything: its fault alone, and no order is trimmed",
                          base::Seconds(80), run};

}  // namespace tidewaiter::lab
