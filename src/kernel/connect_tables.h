// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "kernel/connect_programs.h"
#include "kernel/early_failures.h"
#include "kernel/wire/connect_wire.h"
#include "telemetry/connects.h"

namespace tidewaiter::kernel {

using ConnectEntry = std::pair<tw_connect_key, tw_connect_totals>;

/// The maps that the programs fill. Reads while they write: every counter is whole, and they are not of one moment.
/// Thread: one at a time, as the programs'.
class ConnectTables {
 public:
  explicit ConnectTables(const ConnectPrograms& programs);

  /// All tuples, in no order, with their durations where those are kept apart. Errors: what bpf() said.
  [[nodiscard]] base::Result<void> read(std::vector<ConnectEntry>& entries);

  /// Makes an empty entry, which keeps its place whatever comes. Errors: the table is full.
  [[nodiscard]] base::Result<void> reserve(const tw_connect_key& key) const;

  /// Attempts of one key so far; 0 without an entry.
  [[nodiscard]] std::uint64_t attempts(const tw_connect_key& key) const;

  /// Takes an entry out: what was in it. Absent: it was not there.
  [[nodiscard]] std::optional<tw_connect_totals> take(const tw_connect_key& key) const;

  /// connect() calls that have not reached SYN_SENT, the probe's own left out.
  [[nodiscard]] std::vector<EnteredCall> entered_calls() const;

  /// Forgets the call of a thread. False: it was not there any more.
  [[nodiscard]] bool forget_call(const EnteredCall& call) const;

  [[nodiscard]] std::vector<telemetry::ListenerHandshakes> listeners() const;

  /// What the programs could not keep, by where.
  [[nodiscard]] std::map<std::string, std::uint64_t> lost() const;

  /// Failures older than five seconds make no retry any more; without any that can be answered, the programs need not
  /// look for one.
  void forget_retries() const;

 private:
  using Durations = std::vector<std::pair<tw_duration_key, std::uint64_t>>;

  base::Result<void> read_durations();
  [[nodiscard]] bool forget_old_failures() const;  ///< true: there are younger ones
  void fold_durations(std::vector<ConnectEntry>& entries) const;

  const ConnectPrograms* programs_;
  int connects_;
  int durations_map_;  ///< negative: durations are in the entries
  Durations durations_;
};

}  // namespace tidewaiter::kernel
