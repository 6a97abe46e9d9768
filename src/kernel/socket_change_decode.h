// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "telemetry/socket_ledger.h"

/// From the bytes that the programs of socket_changes.bpf.c leave to telemetry's words. Pure.
namespace tidewaiter::kernel {

/// Absent: not a change, by its length or its fields.
[[nodiscard]] std::optional<telemetry::SocketChange> socket_change_of(std::span<const std::byte> bytes);

}  // namespace tidewaiter::kernel
