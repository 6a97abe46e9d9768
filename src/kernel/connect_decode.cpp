// SPDX-License-Identifier: Apache-2.0
#include "kernel/connect_decode.h"

#include <algorithm>
#include <cstring>

namespace tidewaiter::kernel {
namespace {

telemetry::Address address_of(const __u8 (&bytes)[16]) {
  telemetry::Address::Bytes address;
  std::copy(std::begin(bytes), std::end(bytes), address.begin());
  return telemetry::Address::v6(address);
}

telemetry::LatencyCounts counts_of(const __u32 (&buckets)[TW_LATENCY_BUCKETS]) {
  telemetry::LatencyCounts::Counts counts;
  std::copy(std::begin(buckets), std::end(buckets), counts.begin());
  return telemetry::LatencyCounts(counts);
}

base::Nanoseconds nanoseconds(__u64 ns) { return base::Nanoseconds(static_cast<std::int64_t>(ns)); }

}  // namespace

telemetry::Tuple tuple_of(const tw_connect_key& key) {
  return {address_of(key.source), address_of(key.destination), key.port};
}

bool is_other(const tw_connect_key& key) {
  const tw_connect_key none{};
  return std::memcmp(&key, &none, sizeof key) == 0;
}

bool is_canary(const tw_connect_key& key) { return std::memcmp(&key, &kCanaryKey, sizeof key) == 0; }

telemetry::ConnectTotals totals_of(const tw_connect_totals& totals) {
  telemetry::ConnectTotals result;
  result.attempts = totals.attempts;
  result.established = totals.established;
  std::copy(std::begin(totals.ended), std::end(totals.ended), result.ended.begin());
  result.port_probes = totals.port_probes;
  result.collisions = totals.collisions;
  result.syn_retransmits = totals.syn_retransmits;
  result.retries = totals.retries;
  result.inferred = totals.inferred;
  result.connect_time = nanoseconds(totals.connect_ns);
  result.search_time = nanoseconds(totals.search_ns);
  result.connect = counts_of(totals.connect);
  result.given_up = counts_of(totals.gave_up);
  result.search = counts_of(totals.search);
  return result;
}

std::optional<telemetry::ConnectEvent> event_of(std::span<const std::byte> bytes) {
  tw_connect_event wire;
  if (bytes.size() < sizeof wire) return std::nullopt;
  std::memcpy(&wire, bytes.data(), sizeof wire);
  if (wire.kind < TW_EVENT_FAILED || wire.kind > TW_EVENT_RETRY || wire.cause >= TW_CONNECT_CAUSES) return std::nullopt;
  telemetry::ConnectEvent event;
  event.at = base::Instant(nanoseconds(wire.at_ns));
  event.elapsed = nanoseconds(wire.elapsed_ns);
  event.tuple = tuple_of(wire.key);
  event.pid = wire.pid;
  event.command.assign(wire.comm, strnlen(wire.comm, sizeof wire.comm));
  event.kind = static_cast<telemetry::ConnectEvent::Kind>(wire.kind - TW_EVENT_FAILED);
  event.cause = static_cast<telemetry::ConnectCause>(wire.cause);
  event.syn_retransmits = wire.syn_retransmits;
  return event;
}

}  // namespace tidewaiter::kernel
