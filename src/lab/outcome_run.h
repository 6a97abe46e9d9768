// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "lab/cgroup.h"
#include "lab/child_process.h"
#include "lab/context.h"
#include "lab/echo_server.h"
#include "lab/network.h"
#include "lab/outcomes.h"
#include "lab/scripted_peer.h"

namespace tidewaiter::lab {

/// What became of one outcome, as far as it can be known without an agent.
struct OutcomeResult {
  const Outcome* outcome = nullptr;
  ErrorCounts seen;                 ///< by the client
  std::optional<ExitStatus> exit;   ///< of the client; absent: it did not end in time
  Tally expected;                   ///< of the tuple, with the retransmits that the peer counted
  std::optional<std::string> skip;  ///< why it could not be made here
};

/// Brings outcomes about: their servers, peer, routes and cgroups, and a process for each.
class OutcomeRun {
 public:
  /// Prepares `network` for `outcomes`; the peer does `more`, too. Sets fast open with data and without a cookie.
  /// Errors: what none of them can do without; what one alone lacks is told in its result.
  [[nodiscard]] static base::Result<OutcomeRun> prepare(const Network& network, std::vector<Outcome> outcomes,
                                                        const ScriptedPeer::Script& more = {});

  /// All at once; returns when they have ended, or at `deadline`.
  [[nodiscard]] base::Result<std::vector<OutcomeResult>> play(base::Instant deadline);

  [[nodiscard]] ScriptedPeer& peer() { return *peer_; }

 private:
  explicit OutcomeRun(const Network& network) : network_(&network) {}
  struct Actor;
  [[nodiscard]] base::Result<void> prepare_one(std::size_t index);
  [[nodiscard]] base::Result<void> prepare_group(Group group);
  [[nodiscard]] base::Result<Actor> start(std::size_t index);

  const Network* network_;
  std::vector<Outcome> outcomes_;
  std::map<std::size_t, std::string> skips_;  ///< by index
  std::unique_ptr<ScriptedPeer> peer_;
  std::unique_ptr<Network> elsewhere_;
  std::vector<std::unique_ptr<EchoServer>> servers_;
  std::map<Group, Cgroup> groups_;
};

}  // namespace tidewaiter::lab
