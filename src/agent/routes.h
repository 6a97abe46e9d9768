// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/configuration.h"
#include "agent/snapshot.h"
#include "base/instant.h"
#include "output/agent_metrics.h"
#include "output/series_limit.h"
#include "serve/route.h"

namespace tidewaiter::agent {

/// What accumulates over the windows for `/metrics`. Any thread.
class Tally {
 public:
  explicit Tally(std::size_t max_tuples) : series_(max_tuples) {}

  void note(const Snapshot& snapshot);
  [[nodiscard]] output::SeriesLimit series() const;
  [[nodiscard]] output::AgentCounters counters() const;

 private:
  void note_look(const std::shared_ptr<const Look>& look);

  mutable std::mutex mutex_;
  output::SeriesLimit series_;
  output::AgentCounters counters_;
  std::shared_ptr<const Look> last_look_;  ///< whose connects are in the counters
};

/// What the routes read. Outlives them.
struct RouteSources {
  const SnapshotBox* snapshots = nullptr;
  const Tally* tally = nullptr;
  std::string journal;                   ///< path; opened anew by each request that needs it
  std::string config;                    ///< tidewaiter.config/1, as text
  std::function<base::Moment()> clocks;  ///< the composition root's
  std::function<std::uint64_t()> http_requests;
};

/// `/healthz /readyz /metrics /api/v1/…` and the page. Handlers run on the server's threads.
[[nodiscard]] std::vector<serve::Route> routes(const RouteSources& sources);

}  // namespace tidewaiter::agent
