// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "telemetry/connect_hints.h"
#include "telemetry/handshake_counters.h"
#include "telemetry/kernel_bypass.h"
#include "telemetry/programs.h"

namespace tidewaiter::telemetry {

/// What a window showed of a namespace beside its tuples.
struct HostSignals {
  HandshakeDeltas handshakes;          ///< of the kernel's counters, over all connections
  ListenerDrops drops;                 ///< of listeners, by what was dropped
  std::optional<Programs> programs;    ///< absent: programs cannot be heard
  std::optional<BypassReport> bypass;  ///< absent: nobody looks for them
  std::optional<ConnectHints> hints;   ///< absent: connects are seen, or their ends cannot be heard either
};

}  // namespace tidewaiter::telemetry
