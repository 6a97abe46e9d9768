// SPDX-License-Identifier: Apache-2.0
//
// A producer that writes what it likes, where it can.
#include <limits>
#include <random>

#include "board/tests/event_samples.h"

namespace tidewaiter::board {
namespace {

constexpr std::uint32_t kCapacity = 8;

/// A ring and its memory as its producer has it.
class HostileRing : public testing::Test {
 protected:
  void write(std::size_t offset, std::uint64_t value) {
    __atomic_store_n(memory_.word(offset), value, __ATOMIC_RELEASE);
  }
  void write_event(std::size_t slot, const tw_event& event) {
    const auto words = words_of(event);
    for (std::size_t i = 0; i < words.size(); ++i) {
      write(sizeof(tw_event_ring) + slot * sizeof(tw_event) + i * sizeof words[i], words[i]);
    }
  }
  void set_head(std::uint64_t head) { write(offsetof(tw_event_ring, head), head); }

  EventRing::Counts drain() {
    events_.clear();
    return ring_.drain(kDrained, [this](const tw_event& event) { events_.push_back(event); });
  }

  /// An event of a kind, changed; everything else about it is possible.
  template <class Change>
  bool is_taken(std::uint8_t kind, Change change) {
    tw_event event{};
    event.kind = kind;
    event.time_ns = 1;
    change(event);
    write_event(head_ % kCapacity, event);
    set_head(++head_);
    const EventRing::Counts counts = drain();
    EXPECT_EQ(counts.events + counts.malformed, 1U);
    EXPECT_TRUE(events_.empty() || is_same(events_.at(0), event));
    return counts.events == 1;
  }

  std::uint64_t head_ = 0;
  EventRing ring_ = ring_of({.capacity = kCapacity});
  SharedMemory memory_ = *SharedMemory::map(ring_.descriptor(), sizeof(tw_event_ring) + kCapacity * sizeof(tw_event),
                                            SharedMemory::Access::kWrite);
  std::vector<tw_event> events_;
};

TEST_F(HostileRing, number_that_jumps_is_counted_and_not_followed) {
  for (const std::uint64_t head : {std::uint64_t{kCapacity} + 1, std::uint64_t{1} << 40, std::uint64_t{7},
                                   std::numeric_limits<std::uint64_t>::max(), std::uint64_t{1} << 20}) {
    set_head(head);
    EXPECT_EQ(drain(), (EventRing::Counts{.jumps = 1})) << head;
    EXPECT_EQ(drain(), EventRing::Counts{}) << head;
  }
  const Events events = attach_to(ring_.descriptor());
  ASSERT_TRUE(record(events, 5));
  EXPECT_EQ(drain(), (EventRing::Counts{.events = 1})) << "and is gone on from";
  EXPECT_TRUE(is_same(events_.at(0), event_of(5)));
}

TEST_F(HostileRing, numbers_of_the_agent_are_not_read_back) {
  const Events events = attach_to(ring_.descriptor());
  ASSERT_TRUE(record(events, 1));
  write(offsetof(tw_event_ring, tail), 77);
  write(offsetof(tw_event_ring, capacity), 1U << 30);
  EXPECT_EQ(drain(), (EventRing::Counts{.events = 1}));
  EXPECT_EQ(__atomic_load_n(memory_.word(offsetof(tw_event_ring, tail)), __ATOMIC_ACQUIRE), 1U);
}

TEST_F(HostileRing, dropped_events_are_not_taken_back) {
  write(offsetof(tw_event_ring, dropped), 10);
  EXPECT_EQ(drain(), (EventRing::Counts{.dropped = 10}));
  write(offsetof(tw_event_ring, dropped), 4);
  EXPECT_EQ(drain(), EventRing::Counts{});
  write(offsetof(tw_event_ring, dropped), 11);
  EXPECT_EQ(drain(), (EventRing::Counts{.dropped = 1}));
}

TEST_F(HostileRing, event_of_an_unknown_kind_is_malformed) {
  for (int kind = 0; kind <= 255; ++kind) {
    const bool is_kind = kind >= TW_EVENT_DECISION && kind <= TW_EVENT_CLOSED;
    EXPECT_EQ(is_taken(static_cast<std::uint8_t>(kind), [](tw_event&) {}), is_kind) << kind;
  }
}

TEST_F(HostileRing, event_that_has_not_happened_is_malformed) {
  constexpr std::int64_t kNow = kDrained.time_since_epoch().count();
  constexpr std::int64_t kSecond = 1'000'000'000;
  const auto is_taken_at = [&](std::int64_t time) {
    return is_taken(TW_EVENT_SENT, [&](tw_event& event) { event.time_ns = time; });
  };
  for (const std::int64_t time : {std::int64_t{1}, kNow, kNow + kSecond}) EXPECT_TRUE(is_taken_at(time)) << time;
  for (const std::int64_t time : {std::int64_t{0}, std::int64_t{-1}, kNow + kSecond + 1,
                                  std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()}) {
    EXPECT_FALSE(is_taken_at(time)) << time;
  }
}

TEST_F(HostileRing, event_with_values_that_cannot_be_is_malformed) {
  EXPECT_TRUE(is_taken(TW_EVENT_SENT, [](tw_event& event) { event.error = 4095; }));
  EXPECT_FALSE(is_taken(TW_EVENT_SENT, [](tw_event& event) { event.error = 4096; }));
  EXPECT_FALSE(is_taken(TW_EVENT_SENT, [](tw_event& event) { event.reserved = 1; }));
  EXPECT_TRUE(is_taken(TW_EVENT_ADMISSION, [](tw_event& event) { event.outcome = TW_GATE_REFUSE; }));
  EXPECT_FALSE(is_taken(TW_EVENT_ADMISSION, [](tw_event& event) { event.outcome = TW_GATE_REFUSE + 1; }));
  EXPECT_FALSE(is_taken(TW_EVENT_ADMISSION, [](tw_event& event) { event.shadow_outcome = 255; }));
  EXPECT_TRUE(is_taken(TW_EVENT_FILL, [](tw_event& event) { event.quantity = 0; }));
  EXPECT_FALSE(is_taken(TW_EVENT_FILL, [](tw_event& event) { event.quantity = -1; }));
}

TEST_F(HostileRing, event_with_times_that_overflow_is_malformed) {
  const auto check = [&](std::int64_t time, bool is_good) {
    const auto is_taken_with = [&](std::uint8_t kind, auto member) {
      return is_taken(kind, [&](tw_event& event) { member(event) = time; });
    };
    const auto scheduled = [](tw_event& event) -> std::int64_t& { return event.schedule.scheduled_ns; };
    const auto slice_end = [](tw_event& event) -> std::int64_t& { return event.schedule.slice_end_ns; };
    const auto delay = [](tw_event& event) -> std::int64_t& { return event.gate_delay_ns; };
    EXPECT_EQ(is_taken_with(TW_EVENT_DECISION, scheduled), is_good) << time;
    EXPECT_EQ(is_taken_with(TW_EVENT_DECISION, slice_end), is_good) << time;
    EXPECT_EQ(is_taken_with(TW_EVENT_SEND_ATTEMPT, delay), is_good) << time;
    EXPECT_EQ(is_taken_with(TW_EVENT_SEND_FAILED, delay), is_good) << time;
    EXPECT_EQ(is_taken_with(TW_EVENT_CANCEL, delay), is_good) << time;
    EXPECT_EQ(is_taken_with(TW_EVENT_RETRY_SCHEDULED, delay), is_good) << time;
  };
  constexpr std::int64_t kTooLong = std::int64_t{1} << 62;
  check(0, true);
  check(kTooLong - 1, true);
  check(kTooLong, false);
  check(-1, false);
}

TEST_F(HostileRing, random_bytes_are_survived) {
  std::mt19937_64 random(42);  // NOLINT: the same every time
  EventRing::Counts counts;
  std::uint64_t head = 0;
  for (int round = 0; round < 2'000; ++round) {
    for (std::size_t offset = 0; offset < sizeof(tw_event_ring) + kCapacity * sizeof(tw_event); offset += 8) {
      write(offset, random());
    }
    head = round % 8 == 0 ? random() : head + random() % (2 * kCapacity);  // some are followed
    set_head(head);
    const EventRing::Counts now = drain();
    EXPECT_LE(now.events + now.malformed, kCapacity);
    counts += now;
  }
  EXPECT_GT(counts.jumps, 0U);
  EXPECT_GT(counts.malformed, 0U);
}

}  // namespace
}  // namespace tidewaiter::board
