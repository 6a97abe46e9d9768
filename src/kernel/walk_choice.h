// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/instant.h"
#include "telemetry/sample.h"

namespace tidewaiter::kernel {

/// What lists the connections of a large namespace next, by what it cost here: sock_diag until the iterator has proven
/// cheaper, and the other way round.
///
/// Which is cheaper depends on the host (how far apart the sockets lie in memory weighs more than what is done with
/// them), so both are measured: now and then one walk is a trial of the other source, compared with the walk just
/// before it, so that whatever else the machine does meets both. The source changes after three trials in a row that
/// were a tenth cheaper. A census of one or two looks has no trial: loading a program costs more than such a walk can
/// save. Thread: the caller's.
class WalkChoice {
 public:
  static constexpr std::uint32_t kWalksBeforeFirstTrial = 3;
  static constexpr std::uint32_t kWalksBetweenTrials = 60;
  static constexpr std::uint32_t kTrialsToWin = 3;  ///< in a row, every other walk
  static constexpr double kCheaperBelow = 0.9;      ///< of the other's cost

  /// What the next walk uses.
  [[nodiscard]] telemetry::LookSource next() const;

  /// What walks use that are no trials.
  [[nodiscard]] telemetry::LookSource preferred() const { return preferred_; }

  /// False: nobody needs the iterator before the next trial, which is far away.
  [[nodiscard]] bool needs_iterator() const { return preferred_ == telemetry::LookSource::kIterator || won_ > 0; }

  /// A walk by next() took so much of a processor's time in a namespace of so many sockets.
  void observe(base::Nanoseconds cpu, std::uint64_t sockets);

 private:
  [[nodiscard]] telemetry::LookSource other() const;
  void on_trial(double cost);

  telemetry::LookSource preferred_ = telemetry::LookSource::kSockDiag;
  std::uint32_t walks_before_trial_ = kWalksBeforeFirstTrial;
  std::uint32_t won_ = 0;  ///< trials in a row
  double last_cost_ = 0;   ///< of the preferred source, ns a socket
};

}  // namespace tidewaiter::kernel
