// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "lab/agent_child.h"
#include "lab/context.h"
#include "lab/echo_server.h"
#include "lab/leftovers.h"
#include "lab/topology.h"

namespace tidewaiter::lab {

struct StageOptions {
  std::uint32_t ports = 2'000;     ///< of the client's range
  std::uint16_t lo = 40'000;       ///< where it begins
  std::string interval = "1s";     ///< of the agent
  std::string configuration = {};  ///< of the agent, as text; empty: none
};

/// What most scenarios begin with: a topology, a server at its end, and an agent that has given its first window in the
/// client's network. Goes in the order agent, directory, server, topology.
class Stage {
 public:
  [[nodiscard]] static base::Result<Stage> set(Context& context, const StageOptions& options = {});

  [[nodiscard]] const Topology& topology() const { return topology_; }
  [[nodiscard]] AgentChild& agent() { return *agent_; }
  [[nodiscard]] const Endpoint& destination() const { return destination_; }
  [[nodiscard]] const AgentOptions& agent_options() const { return agent_options_; }

  /// Puts another agent in the place of the present one, which goes first.
  [[nodiscard]] base::Result<void> restart_agent(Context& context);

 private:
  Stage(Topology topology, TemporaryDirectory directory)
      : topology_(std::move(topology)), directory_(std::move(directory)) {}

  Topology topology_;
  Endpoint destination_;
  std::unique_ptr<EchoServer> server_;
  TemporaryDirectory directory_;
  AgentOptions agent_options_;
  std::unique_ptr<AgentChild> agent_;
};

/// Connects per second that `ports` sustain for a client that closes first.
[[nodiscard]] double sustainable_per_s(std::uint32_t ports);

}  // namespace tidewaiter::lab
