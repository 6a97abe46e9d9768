// SPDX-License-Identifier: Apache-2.0
#include "lab/obedience.h"

#include <algorithm>
#include <cmath>

#include "board/attachment.h"
#include "lab/clock.h"

namespace tidewaiter::lab {

base::Result<ConnectLimit> obey_agent(const std::filesystem::path& state_directory, const telemetry::Address& source,
                                      const Endpoint& destination) {
  auto attached = board::attach((state_directory / "agent.sock").string());
  if (!attached) return tl::unexpected(attached.error());
  tw_tuple key{};
  std::copy(source.bytes().begin(), source.bytes().end(), key.source);
  std::copy(destination.address.bytes().begin(), destination.address.bytes().end(), key.destination);
  key.netns_hash = tw_netns_hash("self");
  key.port = destination.port;
  const auto attachment = std::make_shared<const board::Attachment>(std::move(*attached));
  return [attachment, key]() -> std::optional<double> {
    const auto slot = attachment->block.find(key);
    if (!slot) return std::nullopt;
    tw_record record{};
    const board::Freshness freshness = attachment->block.read(*slot, key, read_clock(), record);
    if (freshness != board::Freshness::kLive && freshness != board::Freshness::kStale) return std::nullopt;
    const double per_s = board::obeyed_by(freshness, record).connect_rate_per_s;
    return std::isnan(per_s) ? std::nullopt : std::optional(per_s);
  };
}

}  // namespace tidewaiter::lab
