// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/instant.h"
#include "base/result.h"
#include "kernel/network_namespace.h"
#include "kernel/socket_changes.h"
#include "telemetry/port_plan.h"
#include "telemetry/sample.h"
#include "telemetry/socket_ledger.h"

namespace tidewaiter::kernel {

/// A census that events keep up to date, so that a look costs what has changed and not what is there. A dump puts it
/// right every `every`, and whenever something happened that events do not tell. Thread: one at a time.
class EventCensus {
 public:
  /// What decides whether the ledger can be believed.
  struct Situation {
    base::Instant now;
    telemetry::PortPlan plan;
    telemetry::PortSet listening;
    std::int64_t time_wait_overflows = 0;  ///< TcpExt.TCPTimeWaitOverflow

    /// The same rules tell sockets apart.
    [[nodiscard]] bool has_rules_of(const Situation& other) const;
  };

  /// Feeds the rows of a dump of every socket but LISTEN ones.
  using Dump = std::function<base::Result<void>(telemetry::RowSink&)>;

  /// `hz`: ticks per second of the kernel.
  EventCensus(SocketChanges changes, unsigned hz, base::Nanoseconds every)
      : changes_(std::move(changes)), ledger_(hz), every_(every) {}

  /// Takes in the events that wait.
  void drain();

  /// False: a dump is due.
  [[nodiscard]] bool is_current(const Situation& situation);

  /// Begins anew when the rules have changed, or when it was stopped. Errors: what bpf() said; stopped then.
  [[nodiscard]] base::Result<void> begin(const NetworkNamespace& network_namespace, const Situation& situation);

  /// Puts the ledger right, after begin(). Errors: of the dump; stopped then.
  [[nodiscard]] base::Result<void> reconcile(const Situation& situation, const Dump& dump);

  /// Tuples, plan and literal counts of `sample`, by its time.
  void fill(telemetry::Sample& sample, std::uint32_t listening_sockets_in_range);

  /// Nothing is kept any more, and connects cost nothing.
  void stop();

  [[nodiscard]] bool is_running() const { return changes_.is_running(); }
  [[nodiscard]] int descriptor() const { return changes_.descriptor(); }
  [[nodiscard]] const telemetry::LedgerTotals& totals() const { return totals_; }

 private:
  SocketChanges changes_;
  telemetry::SocketLedger ledger_;
  base::Nanoseconds every_;
  std::optional<Situation> known_;  ///< at the last dump
  bool is_new_ = true;              ///< no dump since the ledger was emptied
  std::uint64_t known_lost_ = 0;
  telemetry::LedgerTotals totals_;
};

}  // namespace tidewaiter::kernel
