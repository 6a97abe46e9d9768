// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "board/event_collector.h"
#include "telemetry/order_events.h"

namespace tidewaiter::agent {

/// What an event of a program's ring says of a child order. Absent: it says nothing of what becomes of one before it is
/// sent (connections, fills, admissions that let it go).
[[nodiscard]] std::optional<telemetry::OrderEvent> order_event_of(const board::Producer& producer,
                                                                  const tw_event& event);

/// Where an event's connection goes, as far as it is told: unspecified addresses, port 0. A decision has no source.
[[nodiscard]] telemetry::Tuple route_of(const tw_event& event);

}  // namespace tidewaiter::agent
