// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/configuration.h"
#include "agent/program_events.h"
#include "agent/snapshot.h"
#include "base/instant.h"
#include "base/result.h"
#include "control/controller.h"
#include "kernel/bypass.h"
#include "kernel/census.h"
#include "kernel/connect_probe.h"
#include "kernel/destroy_listener.h"
#include "telemetry/connect_tracker.h"
#include "telemetry/rates.h"

namespace tidewaiter::agent {

/// Looks, folds, forecasts, decides: one window after the other. Thread: one at a time.
class Observer {
 public:
  /// What it looks with. Without a probe connects are not seen, but for the hints of a listener.
  struct Sources {
    kernel::NetworkNamespace network_namespace;
    std::optional<kernel::ConnectProbe> connects = std::nullopt;
    std::optional<kernel::DestroyListener> socket_ends = std::nullopt;
    std::optional<kernel::BypassWatch> bypass = std::nullopt;
    std::optional<ProgramEvents> programs = std::nullopt;
    std::optional<kernel::SocketChanges> socket_changes = std::nullopt;
  };

  Observer(Sources sources, const Configuration& configuration, std::shared_ptr<const Setup> setup,
           base::Instant start);

  /// For the caller's epoll: readable when something waits for on_events().
  [[nodiscard]] std::vector<int> descriptors() const;

  /// Takes in what happened since. The decisions that do not wait for the end of the window, or null when none changes
  /// anything.
  [[nodiscard]] std::shared_ptr<Snapshot> on_events(base::Moment now);

  /// A window. When the look fails it is a missed one: decisions go on from what was known, and after a few the state
  /// is STALE. Errors: only while there has been no window at all.
  [[nodiscard]] base::Result<std::shared_ptr<Snapshot>> window(base::Moment now);

  /// Windows that were due and never began: the agent was stopped, or had no processor. What readers did meanwhile is
  /// put on record: a round that ends STALE where they were many, else nothing.
  [[nodiscard]] std::shared_ptr<Snapshot> skip(std::uint64_t windows, base::Moment now);

  [[nodiscard]] std::uint64_t windows() const { return windows_; }
  [[nodiscard]] std::uint64_t missed_windows() const { return missed_windows_; }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }

 private:
  [[nodiscard]] base::Result<telemetry::Sample> look(base::Moment now);
  void read_connects(base::Instant now);
  void read_host(Look& fresh, base::Instant now);
  [[nodiscard]] std::vector<output::Source> sources_now(const telemetry::HostSignals& host) const;
  [[nodiscard]] std::shared_ptr<Snapshot> on_connects(base::Moment now);
  void keep_watched(telemetry::Sample& sample) const;
  [[nodiscard]] control::Round decide(const Look& look, base::Instant now);
  [[nodiscard]] bool guard(const telemetry::Tuple& tuple, base::Instant now);
  [[nodiscard]] std::shared_ptr<Snapshot> snapshot(control::Round round, base::Moment now) const;

  kernel::Census census_;
  std::optional<kernel::ConnectProbe> probe_;
  std::optional<kernel::DestroyListener> socket_ends_;
  std::optional<kernel::BypassWatch> bypass_;
  std::optional<ProgramEvents> programs_;
  telemetry::ConnectTracker tracker_;
  Configuration configuration_;
  std::shared_ptr<const Setup> setup_;
  telemetry::DemandTracker demand_;
  control::Controller controller_;
  std::shared_ptr<const Look> last_look_;
  bool is_comparable_ = false;               ///< the next look shows the same namespace as the last
  std::vector<telemetry::Tuple> unsettled_;  ///< not GREEN at the last window: shown even when their sockets are gone
  std::vector<control::TupleWindow> windows_of_tuples_;
  control::Round round_;  ///< the last one, with what guards changed since; without transitions
  std::uint64_t windows_ = 0;
  std::uint64_t missed_windows_ = 0;
  std::string last_error_;
};

}  // namespace tidewaiter::agent
