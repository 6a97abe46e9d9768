// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <tidewaiter/events.h>
#include <vector>

#include "board/event_ring.h"
#include "board/sequence.h"

namespace tidewaiter::board {

/// When rings are drained: after every event of event_of.
inline constexpr base::Instant kDrained{std::chrono::hours(1)};

/// An event all of whose fields follow from `n`, so that a mixture of two is seen.
inline tw_event event_of(std::uint64_t n) {
  tw_event event{};
  event.time_ns = static_cast<std::int64_t>(n + 1);
  event.id = n;
  std::memset(event.destination, static_cast<int>(n % 251), sizeof event.destination);
  event.port = static_cast<std::uint16_t>(n);
  event.error = static_cast<std::uint16_t>(n % 4096);
  event.kind = static_cast<std::uint8_t>(TW_EVENT_DECISION + n % TW_EVENT_CLOSED);
  event.outcome = event.shadow_outcome = static_cast<std::uint8_t>(n % (TW_GATE_REFUSE + 1));
  event.schedule = {static_cast<std::int64_t>(n), static_cast<std::int64_t>(n + 7)};
  event.quantity = static_cast<std::int64_t>(3 * n);
  return event;
}

inline bool is_same(const tw_event& left, const tw_event& right) { return words_of(left) == words_of(right); }
inline bool is_whole(const tw_event& event) { return is_same(event, event_of(event.id)); }

inline EventRing ring_of(const EventRing::Options& options) {
  auto ring = EventRing::create(options);
  if (!ring) {
    ADD_FAILURE() << ring.error().message();
    std::abort();
  }
  return std::move(*ring);
}

struct CloseEvents {
  void operator()(tw_events* events) const { tw_events_close(events); }
};
using Events = std::unique_ptr<tw_events, CloseEvents>;

/// A producer's end.
inline Events attach_to(int descriptor) {
  tw_events* events = nullptr;
  EXPECT_EQ(tw_events_attach(descriptor, &events), 0);
  return Events(events);
}

inline bool record(const Events& events, std::uint64_t n) {
  const tw_event event = event_of(n);
  return tw_events_record(events.get(), &event) == 1;
}

/// Whatever the ring has.
inline std::vector<tw_event> drained(EventRing& ring, EventRing::Counts& counts) {
  std::vector<tw_event> events;
  counts += ring.drain(kDrained, [&](const tw_event& event) { events.push_back(event); });
  return events;
}

inline std::vector<std::uint64_t> drained_ids(EventRing& ring) {
  EventRing::Counts ignored;
  std::vector<std::uint64_t> ids;
  for (const tw_event& event : drained(ring, ignored)) {
    EXPECT_TRUE(is_whole(event));
    ids.push_back(event.id);
  }
  return ids;
}

}  // namespace tidewaiter::board
