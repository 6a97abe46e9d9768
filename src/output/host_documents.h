// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "output/documents.h"
#include "telemetry/host_signals.h"

/// The parts of a status document that are about a namespace as a whole. docs/documents.md describes each field.
namespace tidewaiter::output {

/// What the kernel's handshake counters did in the window, and what listeners dropped.
[[nodiscard]] Document handshakes_document(const telemetry::HostSignals& signals);

/// How faithfully programs kept their schedules in the last minute; null where none tells.
[[nodiscard]] Document cadence_document(const telemetry::HostSignals& signals);

/// The event rings of programs; null where they cannot be heard.
[[nodiscard]] Document programs_document(const telemetry::HostSignals& signals);

/// Processes whose packets go past the kernel: their connects are not seen here. Null where nobody looks for them.
[[nodiscard]] Document blind_document(const telemetry::HostSignals& signals);

/// What the ends of sockets show where no hook sees connects; null otherwise.
[[nodiscard]] Document connect_hints_document(const telemetry::HostSignals& signals);

/// Adds what programs told of a tuple.
void add_programs(Document& tuple, const telemetry::Tuple& key, const telemetry::HostSignals* signals);

/// Adds why one of `tuples` has null for what programs tell.
void add_absent_programs(Document& absent, const Document& tuples, const telemetry::HostSignals* signals);

}  // namespace tidewaiter::output
