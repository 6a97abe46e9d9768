// SPDX-License-Identifier: Apache-2.0
//
// The same requests through connections that stay open: nothing may happen.
#include <algorithm>
#include <fmt/format.h>

#include "lab/clock.h"
#include "lab/pooled_client.h"
#include "lab/scenarios/all.h"
#include "lab/stage.h"
#include "lab/watch.h"

namespace tidewaiter::lab {
namespace {

constexpr std::uint32_t kPorts = 2'000;
constexpr std::uint32_t kConnections = 16;
constexpr double kRequestsPerSecond = 53;  // what exhausts the ports in port-exhaustion
constexpr base::Nanoseconds kDuration = base::Seconds(60);

base::Result<void> run(Context& context) {
  auto stage = Stage::set(context, {.ports = kPorts});
  if (!stage) return tl::unexpected(stage.error());
  Watch watch(context, stage->agent(), stage->destination().port);
  context.tell("pool", fmt::format("a client sends {:.0f} requests a second through {} connections that stay open",
                                   kRequestsPerSecond, kConnections));
  const base::Instant began = read_clock();
  auto client =
      PooledClient::start(stage->topology().client(), {stage->destination(), kConnections, kRequestsPerSecond});
  if (!client) return tl::unexpected(client.error());
  const auto look = [&](const SeenWindow& window) {
    context.show_progress(to_seconds(read_clock() - began) / to_seconds(kDuration),
                          fmt::format("{}, {} requests answered", window.state, (*client)->requests()));
    return false;
  };
  if (auto done = watch.follow(began + kDuration, look); !done || !*done) {
    return done ? base::Result<void>() : tl::unexpected(done.error());
  }
  const auto& windows = watch.windows();
  const auto green =
      std::count_if(windows.begin(), windows.end(), [](const SeenWindow& window) { return window.state == "GREEN"; });
  std::size_t transitions = 0;
  for (const SeenWindow& window : windows) transitions += window.transitions.size();
  const auto totals = (*client)->log().totals();
  context.expect("GREEN throughout", "in every window", fmt::format("in {} of {}", green, windows.size()),
                 windows.size() >= 50 && static_cast<std::size_t>(green) == windows.size());
  context.expect("no transition", "0", std::to_string(transitions), transitions == 0);
  context.expect("every request is answered", "none fails",
                 fmt::format("{} answered, {} failed", (*client)->requests(), (*client)->failed_requests()),
                 (*client)->requests() > 0 && (*client)->failed_requests() == 0);
  context.expect("no connection is opened anew", fmt::format("{} connects", kConnections),
                 fmt::format("{} connects", totals.attempts), totals.attempts == kConnections);
  return stage->agent().stop();
}

}  // namespace

const Scenario kSteady{"steady", "The same request rate through warm connections: GREEN from beginning to end",
                       base::Seconds(62), run};

}  // namespace tidewaiter::lab
