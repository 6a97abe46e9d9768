// SPDX-License-Identifier: Apache-2.0
#include "agent/produced_events.h"

#include <algorithm>

namespace tidewaiter::agent {
namespace {

using Kind = telemetry::OrderEvent::Kind;

std::optional<Kind> kind_of(const tw_event& event) {
  switch (event.kind) {
    case TW_EVENT_DECISION:
      return Kind::kDecision;
    case TW_EVENT_SEND_ATTEMPT:
      return Kind::kSendAttempt;
    case TW_EVENT_SEND_FAILED:
      return Kind::kSendFailed;
    case TW_EVENT_CANCEL:
      return Kind::kCancel;
    case TW_EVENT_ADMISSION:
      if (event.outcome == TW_GATE_REFUSE) return Kind::kRefusal;
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

telemetry::Address address_of(const std::uint8_t (&bytes)[16]) {
  telemetry::Address::Bytes copy;
  std::copy(std::begin(bytes), std::end(bytes), copy.begin());
  return telemetry::Address::v6(copy);
}

base::Instant instant(std::int64_t ns) { return base::Instant(base::Nanoseconds(ns)); }

}  // namespace

telemetry::Tuple route_of(const tw_event& event) {
  telemetry::Tuple tuple{{}, address_of(event.destination), event.port};
  if (event.kind != TW_EVENT_DECISION) tuple.source = address_of(event.source);
  return tuple;
}

std::optional<telemetry::OrderEvent> order_event_of(const board::Producer& producer, const tw_event& event) {
  const auto kind = kind_of(event);
  if (!kind) return std::nullopt;
  telemetry::OrderEvent result;
  result.producer = producer.process;
  result.id = event.id;
  result.kind = *kind;
  result.at = instant(event.time_ns);
  result.tuple = route_of(event);
  if (*kind != Kind::kDecision) {
    if (*kind != Kind::kRefusal) result.gate_delay = base::Nanoseconds(event.gate_delay_ns);
  } else if (event.schedule.scheduled_ns != 0 && event.schedule.slice_end_ns != 0) {
    result.schedule = {instant(event.schedule.scheduled_ns), instant(event.schedule.slice_end_ns)};
  }
  return result;
}

}  // namespace tidewaiter::agent
