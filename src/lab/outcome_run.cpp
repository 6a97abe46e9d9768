// SPDX-License-Identifier: Apache-2.0
#include "lab/outcome_run.h"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <unistd.h>

#include "lab/clock.h"

namespace tidewaiter::lab {
namespace {

/// Client and server take data in the SYN, without a cookie: 1 + 2 + 4 + 0x200 (ip-sysctl).
constexpr const char* kFastOpen = "519";
constexpr std::uint32_t kHastyJiffies = 25;       // 25 to 250 ms
constexpr std::uint32_t kPatientJiffies = 5'000;  // 5 to 50 s

}  // namespace

/// A client at work.
struct OutcomeRun::Actor {
  OutcomeCounts counts;
  std::unique_ptr<ChildProcess> process;
};

base::Result<OutcomeRun> OutcomeRun::prepare(const Network& network, std::vector<Outcome> outcomes,
                                             const ScriptedPeer::Script& more) {
  OutcomeRun run(network);
  run.outcomes_ = std::move(outcomes);
  if (auto set = network.set("net.ipv4.tcp_fastopen", kFastOpen); !set) return tl::unexpected(set.error());
  // Linux 6.5: SYNs are repeated four times more, which only makes time-outs later.
  static_cast<void>(network.set("net.ipv4.tcp_syn_linear_timeouts", "0"));
  ScriptedPeer::Script script = script_of(run.outcomes_);
  script.insert(more.begin(), more.end());
  auto peer = ScriptedPeer::start(network, std::move(script));
  if (!peer) return base::wrap(peer.error(), "start the scripted peer");
  run.peer_ = std::move(*peer);
  for (std::size_t i = 0; i < run.outcomes_.size(); ++i) {
    if (auto ready = run.prepare_one(i); !ready) run.skips_[i] = ready.error().message();
  }
  return run;
}

base::Result<void> OutcomeRun::prepare_one(std::size_t index) {
  const Outcome& outcome = outcomes_[index];
  const Endpoint& to = outcome.task.to;
  const auto serve = [&](const Network& network, const ListenOptions& options) -> base::Result<void> {
    auto server = EchoServer::start(network, to, options);
    if (!server) return tl::unexpected(server.error());
    servers_.push_back(std::move(*server));
    return {};
  };
  if (auto ready = prepare_group(outcome.group); !ready) return ready;
  switch (outcome.site) {
    case Site::kEcho:
    case Site::kEchoIpv6:
      return serve(*network_, {});
    case Site::kEchoMptcp:
      return serve(*network_, {.protocol = Protocol::kMptcp});
    case Site::kEchoFastOpen:
      return serve(*network_, {.fast_open = true});
    case Site::kDead:
      return network_->run([&] { return add_dead_route(to.address, outcome.route); });
    case Site::kElsewhere: {
      auto elsewhere = Network::create();
      if (!elsewhere) return tl::unexpected(elsewhere.error());
      elsewhere_ = std::make_unique<Network>(std::move(*elsewhere));
      return serve(*elsewhere_, {});
    }
    default:
      return {};
  }
}

base::Result<void> OutcomeRun::prepare_group(Group group) {
  if (group == Group::kOwn || groups_.contains(group)) return {};
  auto cgroup = Cgroup::create();
  if (!cgroup) return tl::unexpected(cgroup.error());
  base::Result<void> ready;
  if (group == Group::kDenied) ready = cgroup->deny_connects();
  if (group == Group::kHasty) ready = cgroup->set_syn_timeout(kHastyJiffies);
  if (group == Group::kPatient) ready = cgroup->set_syn_timeout(kPatientJiffies);
  if (ready) groups_.emplace(group, std::move(*cgroup));
  return ready;
}

base::Result<OutcomeRun::Actor> OutcomeRun::start(std::size_t index) {
  const Outcome& outcome = outcomes_[index];
  auto counts = OutcomeCounts::create();
  if (!counts) return tl::unexpected(counts.error());
  const auto group = groups_.find(outcome.group);
  const std::string entrance = group == groups_.end() ? "" : group->second.entrance();
  const Network& network = outcome.site == Site::kElsewhere ? *elsewhere_ : *network_;
  auto process = fork_inside(network, [&outcome, &entrance, counts = &*counts] {
    if (!entrance.empty() && !enter_cgroup(entrance)) return counts->skip(errno);
    outcome.work(outcome.task, *counts);
  });
  if (!process) return tl::unexpected(process.error());
  return Actor{std::move(*counts), std::move(*process)};
}

base::Result<std::vector<OutcomeResult>> OutcomeRun::play(base::Instant deadline) {
  std::map<std::size_t, Actor> actors;
  for (std::size_t i = 0; i < outcomes_.size(); ++i) {
    if (skips_.contains(i)) continue;
    auto actor = start(i);
    if (!actor) return base::wrap(actor.error(), outcomes_[i].name);
    actors.emplace(i, std::move(*actor));
  }
  std::vector<OutcomeResult> results;
  for (std::size_t i = 0; i < outcomes_.size(); ++i) {
    OutcomeResult result{&outcomes_[i], {}, {}, outcomes_[i].agent, {}};
    if (const auto skip = skips_.find(i); skip != skips_.end()) {
      result.skip = skip->second;
      results.push_back(std::move(result));
      continue;
    }
    Actor& actor = actors.at(i);
    result.exit = actor.process->wait_exit(deadline);
    result.seen = actor.counts.read();
    if (const auto error = actor.counts.skipped()) result.skip = std::strerror(*error);  // NOLINT: one thread asks
    results.push_back(std::move(result));
  }
  for (OutcomeResult& result : results) {
    const Outcome& outcome = *result.outcome;
    if (outcome.site != Site::kPeer && outcome.site != Site::kPeerIpv6) continue;
    const std::uint64_t syns = peer_->counts(outcome.task.to.port).syns;
    if (syns > outcome.task.count) result.expected["syn_retransmits"] = syns - outcome.task.count;
  }
  return results;
}

}  // namespace tidewaiter::lab
