// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/controller.h"
#include "control/policy.h"
#include "output/agent_view.h"
#include "output/census_view.h"
#include "telemetry/connect_tracker.h"
#include "telemetry/host_signals.h"
#include "telemetry/sample.h"

namespace tidewaiter::agent {

/// A sample with its view; neither copied nor moved, because the view points into the sample.
struct Look {
  telemetry::Sample sample;
  output::CensusView census;
  std::optional<telemetry::Connects> connects;  ///< absent: no source sees them
  std::map<std::string, std::uint64_t> lost;    ///< events, by source, since the sources began
  telemetry::HostSignals host;
  std::vector<output::Source> sources;  ///< as they were in this window

  Look() = default;
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;
};

/// What never changes while an agent runs.
struct Setup {
  output::AgentIdentity identity;
  control::Policy policy;
  std::vector<output::Source> sources;
};

/// One window with everything that was decided: immutable, shared by all who show or store it.
struct Snapshot {
  std::shared_ptr<const Setup> setup;
  std::shared_ptr<const Look> look;  ///< of this window, or the last one before it where the window was missed
  control::Round round;
  base::Moment at{};
  std::uint64_t window = 0;
  bool is_missed = false;
  output::ObserverFigures observer;

  [[nodiscard]] output::AgentView view() const {
    return {&setup->identity,
            &setup->policy,
            &look->sources,
            &look->census,
            look->connects ? &*look->connects : nullptr,
            &look->host,
            &round,
            at,
            window,
            observer};
  }
};

/// The latest snapshot, from the observer to everybody. Any thread.
class SnapshotBox {
 public:
  void put(std::shared_ptr<const Snapshot> snapshot) {
    const std::lock_guard lock(mutex_);
    latest_ = std::move(snapshot);
  }

  /// Null before the first window.
  [[nodiscard]] std::shared_ptr<const Snapshot> get() const {
    const std::lock_guard lock(mutex_);
    return latest_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> latest_;
};

}  // namespace tidewaiter::agent
