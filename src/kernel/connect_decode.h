// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "kernel/wire/connect_wire.h"
#include "telemetry/connects.h"

/// From the bytes that the programs of connects.bpf.c leave to telemetry's words. Pure.
namespace tidewaiter::kernel {

static_assert(TW_CONNECT_CAUSES == telemetry::kConnectCauses);
static_assert(TW_LATENCY_BUCKETS == telemetry::LatencyCounts::kBuckets);

[[nodiscard]] telemetry::Tuple tuple_of(const tw_connect_key& key);

/// The key of tuples that found no room.
[[nodiscard]] bool is_other(const tw_connect_key& key);

/// The key of the probe's own connects. Its port is never 0.
inline constexpr tw_connect_key kCanaryKey{{}, {}, 0, TW_CANARY_PORT, 0};
[[nodiscard]] bool is_canary(const tw_connect_key& key);

/// A key that stands for no destination.
[[nodiscard]] inline bool is_reserved(const tw_connect_key& key) { return is_other(key) || is_canary(key); }

/// All but what only the connect hook knows: failures before SYN_SENT.
[[nodiscard]] telemetry::ConnectTotals totals_of(const tw_connect_totals& totals);

/// Absent: not an event, by its length or its fields.
[[nodiscard]] std::optional<telemetry::ConnectEvent> event_of(std::span<const std::byte> bytes);

}  // namespace tidewaiter::kernel
