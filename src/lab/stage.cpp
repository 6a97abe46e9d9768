// SPDX-License-Identifier: Apache-2.0
#include "lab/stage.h"

#include "model/forecast.h"

namespace tidewaiter::lab {

base::Result<Stage> Stage::set(Context& context, const StageOptions& options) {
  TopologyOptions range;
  range.lo = options.lo;
  range.hi = static_cast<std::uint16_t>(options.lo + options.ports - 1);
  auto topology = Topology::create(range);
  if (!topology) return base::wrap(topology.error(), "set up the networks");
  auto directory = context.make_directory();
  if (!directory) return tl::unexpected(directory.error());
  if (context.options().keep == Keep::kYes) context.tell("kept", "kept: " + directory->path().string());
  Stage stage(std::move(*topology), std::move(*directory));
  stage.destination_.address = stage.topology_.server_address();
  auto server = EchoServer::start(stage.topology_.server(), stage.destination_);
  if (!server) return base::wrap(server.error(), "start the server");
  stage.server_ = std::move(*server);
  stage.agent_options_.state_directory = stage.directory_.path();
  stage.agent_options_.interval = options.interval;
  stage.agent_options_.configuration = options.configuration;
  if (auto started = stage.restart_agent(context); !started) return tl::unexpected(started.error());
  return stage;
}

base::Result<void> Stage::restart_agent(Context& context) {
  agent_.reset();
  auto agent = AgentChild::start(context, topology_.client(), agent_options_);
  if (!agent) return tl::unexpected(agent.error());
  agent_ = std::move(*agent);
  return {};
}

double sustainable_per_s(std::uint32_t ports) { return model::sustainable_per_s(ports); }

}  // namespace tidewaiter::lab
