// SPDX-License-Identifier: Apache-2.0
//
// A program is killed after every store that it makes while it records.
#include <limits>

#include "board/tests/event_samples.h"
#include "board/tests/stepped_child.h"

namespace tidewaiter::board {
namespace {

constexpr std::uint32_t kCapacity = 4;
constexpr std::uint64_t kRecorded = 6;                                           // two find the ring full
constexpr std::uint64_t kFirst = std::numeric_limits<std::uint64_t>::max() - 1;  // numbers pass their end on the way
constexpr std::uint64_t kBefore = 100;

TEST(KilledProducer, leaves_the_events_that_it_had_finished_and_nothing_else) {
  const OneProcessor one;
  int kills = 0;
  int torn = 0;
  for (int stores = 1;; stores += kStride) {
    SCOPED_TRACE(stores);
    EventRing ring = ring_of({.capacity = kCapacity, .first = kFirst});
    // Old events lie in every slot.
    const Events before = attach_to(ring.descriptor());
    for (std::uint64_t n = 0; n < kCapacity; ++n) ASSERT_TRUE(record(before, kBefore + n));
    ASSERT_EQ(drained_ids(ring).size(), kCapacity);

    const std::size_t bytes = sizeof(tw_event_ring) + kCapacity * sizeof(tw_event);
    const auto memory = *SharedMemory::map(ring.descriptor(), bytes, SharedMemory::Access::kRead);
    tw_events* events = nullptr;
    const Ending ending = work_and_kill(
        [&] {
          if (tw_events_attach(ring.descriptor(), &events) != 0) _exit(1);
        },
        [&] {
          for (std::uint64_t n = 0; n < kRecorded; ++n) {
            const tw_event event = event_of(n);
            tw_events_record(events, &event);
          }
        },
        Watch(memory.word(0), bytes), stores);
    if (ending == Ending::kNotPermitted) GTEST_SKIP() << "ptrace is not permitted here";

    EventRing::Counts counts;
    const auto left = drained(ring, counts);
    ASSERT_LE(left.size(), kCapacity);
    for (std::uint64_t n = 0; n < left.size(); ++n) EXPECT_TRUE(is_same(left[n], event_of(n))) << n;
    EXPECT_EQ(counts.malformed + counts.jumps, 0U);
    EXPECT_LE(counts.dropped, kRecorded - kCapacity);
    EXPECT_TRUE(left.size() == kCapacity || counts.dropped == 0);

    // The slot that it died in is as good as any other.
    if (left.size() < kCapacity &&
        !is_same(event_of(kBefore + left.size()),
                 *reinterpret_cast<const tw_event*>(memory.word(
                     sizeof(tw_event_ring) + ((kFirst + kCapacity + left.size()) % kCapacity) * sizeof(tw_event))))) {
      ++torn;
    }
    const Events after = attach_to(ring.descriptor());
    for (std::uint64_t n = 0; n < kCapacity; ++n) EXPECT_TRUE(record(after, 200 + n));
    EXPECT_EQ(drained_ids(ring), (std::vector<std::uint64_t>{200, 201, 202, 203}));
    if (HasFailure()) FAIL();
    if (ending == Ending::kFinished) {
      EXPECT_EQ(left.size(), kCapacity);
      EXPECT_EQ(counts.dropped, kRecorded - kCapacity);
      break;
    }
    ++kills;
  }
  RecordProperty("kills", kills);
  RecordProperty("inside_an_event", torn);
  EXPECT_GT(kills, 15 / kStride);
  EXPECT_GT(torn, 8 / kStride) << "deaths inside an event were among them";
}

}  // namespace
}  // namespace tidewaiter::board
