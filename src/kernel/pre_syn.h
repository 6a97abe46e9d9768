// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>

#include "telemetry/sample.h"

namespace tidewaiter::kernel {

/// Two counters of a destination: connect() calls that entered, and sockets that reached SYN_SENT. They are not read at
/// one moment with what they count, so the second is read twice.
struct PreSynCounters {
  std::uint64_t entered = 0;
  std::uint64_t reached = 0;        ///< read with `entered`
  std::uint64_t reached_later = 0;  ///< read after it, by more than a call takes to get from one to the other
};

/// How many connect() calls failed before SYN_SENT. A call on its way has entered and not yet reached, so the
/// difference of one moment is too high; what entered less what reached later is never too high, and what holds in two
/// successive readings is believed. A difference below 0 shows calls that were on their way when counting began; it is
/// the zero from then on. docs/design/connects.md. Pure.
class PreSyn {
 public:
  void update(const telemetry::Tuple& destination, const PreSynCounters& counters);

  /// True when there may be more failures than are believed: worth a later look at `reached`.
  [[nodiscard]] bool is_worth_a_later_look(const telemetry::Tuple& destination, std::uint64_t entered,
                                           std::uint64_t reached) const;

  /// Failures that are certain; 0 of a destination that was never seen.
  [[nodiscard]] std::uint64_t failed(const telemetry::Tuple& destination) const;

 private:
  struct State {
    std::int64_t zero = 0;
    std::int64_t last = 0;
    std::uint64_t believed = 0;
  };
  std::map<telemetry::Tuple, State> destinations_;
};

}  // namespace tidewaiter::kernel
