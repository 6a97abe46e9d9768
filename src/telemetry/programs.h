// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "telemetry/cadence.h"
#include "telemetry/features.h"
#include "telemetry/order_events.h"
#include "telemetry/power_counts.h"
#include "telemetry/sample.h"

namespace tidewaiter::telemetry {

/// What programs themselves told of a destination, by their event rings.
struct TuplePrograms {
  std::optional<Percentile> send_delay;  ///< DSD95, net of the gate's delay; absent: nothing was sent lately
  PowerCounts send_delays;            ///< of children sent, decision to send net of the gate's delay, since the start
  std::uint64_t refused = 0;          ///< connects and retries that an own budget did not let begin, since the start
  std::uint32_t window_refused = 0;   ///< of these, in the last window
  std::uint64_t retries_waiting = 0;  ///< scheduled, neither fired nor cancelled
};

/// What programs told of all their orders and connections, at the end of a window.
struct Programs {
  std::map<Tuple, TuplePrograms> tuples;
  Cadence cadence;  ///< of all children of the last 60 s
  OrderEvents::Counters children;
  PowerCounts launch_errors;  ///< |sent − scheduled| of children with a schedule, since the start
  std::uint64_t refused = 0;  ///< by own budgets, over all tuples

  std::uint64_t rings = 0;      ///< now
  std::uint64_t events = 0;     ///< since the start, as all that follows
  std::uint64_t dropped = 0;    ///< recorded into a full ring
  std::uint64_t malformed = 0;  ///< that no producer may write
  std::uint64_t foreign = 0;    ///< of programs in another network namespace
  std::uint64_t omitted = 0;    ///< of tuples that had no room

  /// Null for a tuple that no program told anything of. What was told without a source is of every source.
  [[nodiscard]] const TuplePrograms* find(const Tuple& tuple) const {
    for (const Tuple& key : {tuple, Tuple{{}, tuple.destination, tuple.destination_port}}) {
      if (const auto found = tuples.find(key); found != tuples.end()) return &found->second;
    }
    return nullptr;
  }
};

}  // namespace tidewaiter::telemetry
