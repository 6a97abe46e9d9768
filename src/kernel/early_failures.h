// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "base/instant.h"
#include "telemetry/sample.h"

namespace tidewaiter::kernel {

/// A connect() that has not reached SYN_SENT: it is on its way, or it failed and its thread has made no other since.
struct EnteredCall {
  std::uint64_t thread = 0;
  base::Instant began{};
  telemetry::Tuple destination;
};

/// How many connect() calls failed before SYN_SENT. The programs count a failure when the thread calls again; of a
/// thread that does not, the call that it left tells, once it is older than any call on its way can be.
/// docs/design/connects.md. Pure.
class EarlyFailures {
 public:
  using Counts = std::map<telemetry::Tuple, std::uint64_t>;

  /// Between the hook and SYN_SENT lies no wait, only what a busy machine puts between.
  static constexpr base::Nanoseconds kSurelyOver = base::Seconds(1);

  /// `counted`: by the programs, by destination, since they were attached. It was read before `calls`, so that a
  /// failure that is counted in between is missed now and told next time, and never told twice.
  void update(const Counts& counted, std::span<const EnteredCall> calls, base::Instant now);

  /// A call of a thread that has ended will not be among `calls` any more.
  void bury(const EnteredCall& call) { ++buried_[call.destination]; }

  /// By destination. Never falls.
  [[nodiscard]] const Counts& failed() const { return failed_; }

 private:
  Counts buried_;
  Counts failed_;
};

}  // namespace tidewaiter::kernel
