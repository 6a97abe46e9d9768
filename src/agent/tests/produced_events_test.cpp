// SPDX-License-Identifier: Apache-2.0
#include "agent/produced_events.h"

#include <gtest/gtest.h>

namespace tidewaiter::agent {
namespace {

using base::Instant;
using base::Nanoseconds;
using Kind = telemetry::OrderEvent::Kind;

const board::Producer kProducer{.process = 7, .pid = 7, .uid = 0, .network_namespace = 1};

tw_event event_of(std::uint8_t kind) {
  tw_event event{};
  event.kind = kind;
  event.id = 4711;
  event.time_ns = 1'000;
  event.destination[10] = event.destination[11] = 0xff;
  event.destination[12] = 10;
  event.destination[15] = 1;
  event.port = 9000;
  return event;
}

TEST(ProducedEvents, decision_brings_its_schedule) {
  tw_event event = event_of(TW_EVENT_DECISION);
  event.schedule = {2'000, 3'000};
  event.parent = 99;
  const auto order = order_event_of(kProducer, event);
  ASSERT_TRUE(order);
  EXPECT_EQ(order->producer, 7U);
  EXPECT_EQ(order->id, 4711U);
  EXPECT_EQ(order->kind, Kind::kDecision);
  EXPECT_EQ(order->at, Instant(Nanoseconds(1'000)));
  EXPECT_EQ(order->tuple, (telemetry::Tuple{{}, telemetry::Address::v4(0x0a000001), 9000}));
  ASSERT_TRUE(order->schedule);
  EXPECT_EQ(order->schedule->scheduled, Instant(Nanoseconds(2'000)));
  EXPECT_EQ(order->schedule->slice_end, Instant(Nanoseconds(3'000)));
  EXPECT_EQ(order->gate_delay, Nanoseconds(0)) << "the parent is no delay";
}

TEST(ProducedEvents, half_a_schedule_is_none) {
  tw_event event = event_of(TW_EVENT_DECISION);
  event.schedule = {2'000, 0};
  EXPECT_FALSE(order_event_of(kProducer, event)->schedule);
  event.schedule = {0, 3'000};
  EXPECT_FALSE(order_event_of(kProducer, event)->schedule);
}

TEST(ProducedEvents, attempt_brings_its_route_and_the_delay_by_the_gate) {
  tw_event event = event_of(TW_EVENT_SEND_ATTEMPT);
  event.source[15] = 1;
  event.gate_delay_ns = 50;
  const auto order = order_event_of(kProducer, event);
  ASSERT_TRUE(order);
  EXPECT_EQ(order->kind, Kind::kSendAttempt);
  EXPECT_EQ(order->tuple.source.to_string(), "::1");
  EXPECT_EQ(order->gate_delay, Nanoseconds(50));
  EXPECT_FALSE(order->schedule);
}

TEST(ProducedEvents, only_what_decides_a_childs_fate_is_about_it) {
  const auto kind_of = [](std::uint8_t kind, std::uint8_t outcome = TW_GATE_NONE) {
    tw_event event = event_of(kind);
    event.outcome = outcome;
    const auto order = order_event_of(kProducer, event);
    return order ? std::optional(order->kind) : std::nullopt;
  };
  EXPECT_EQ(kind_of(TW_EVENT_SEND_FAILED), Kind::kSendFailed);
  EXPECT_EQ(kind_of(TW_EVENT_CANCEL), Kind::kCancel);
  EXPECT_EQ(kind_of(TW_EVENT_ADMISSION, TW_GATE_REFUSE), Kind::kRefusal);
  EXPECT_EQ(kind_of(TW_EVENT_ADMISSION, TW_GATE_HOLD), std::nullopt);
  EXPECT_EQ(kind_of(TW_EVENT_ADMISSION, TW_GATE_SEND), std::nullopt);
  for (std::uint8_t kind = TW_EVENT_CONNECT_BEGIN; kind <= TW_EVENT_CLOSED; ++kind) {
    EXPECT_EQ(kind_of(kind), std::nullopt) << +kind;
  }
  EXPECT_EQ(kind_of(TW_EVENT_SENT), std::nullopt);
  EXPECT_EQ(kind_of(TW_EVENT_FILL), std::nullopt);
}

}  // namespace
}  // namespace tidewaiter::agent
