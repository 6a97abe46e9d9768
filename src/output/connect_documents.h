// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "output/agent_view.h"
#include "output/documents.h"

namespace tidewaiter::output {

/// What became of connects, since their source began to count.
[[nodiscard]] Document connects_document(const telemetry::ConnectTotals& totals);

/// Adds what is known of a tuple's connects to its object: null where no source sees connects; a tuple without any has
/// counts of 0 and rates that nobody knows.
void add_connects(Document& tuple, const telemetry::Tuple& key, const AgentView& view);

/// Adds why fields of connects are null: in all tuples where no source sees connects, else where one of `tuples` has it
/// so.
void add_absent_connects(Document& absent, const Document& tuples, const AgentView& view);

}  // namespace tidewaiter::output
