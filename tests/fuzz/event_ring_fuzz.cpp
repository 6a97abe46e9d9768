// SPDX-License-Identifier: Apache-2.0
//
// A ring full of whatever bytes: the agent's end neither crashes nor hangs, hands on no more than a capacity of events,
// all of them possible, and whatever they say, no child order is lost uncounted.
// Input: the producer's line (head, dropped, …: 24 bytes), then events; the rest is zero. Each run drains twice.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#include "agent/produced_events.h"
#include "board/event_ring.h"

namespace {

using namespace tidewaiter;

constexpr std::uint32_t kCapacity = 64;
constexpr std::size_t kLine = 24;
constexpr base::Instant kNow{base::Seconds(1'000)};
constexpr std::int64_t kLatestNs = 1'001'000'000'000;

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const tw_event& event) {
  require(event.kind >= TW_EVENT_DECISION && event.kind <= TW_EVENT_CLOSED);
  require(event.time_ns > 0 && event.time_ns <= kLatestNs);
  require(event.outcome <= TW_GATE_REFUSE && event.shadow_outcome <= TW_GATE_REFUSE);
}

void check(const telemetry::OrderEvents& orders) {
  const auto& counters = orders.counters();
  require(counters.decisions == counters.sent + counters.failed + counters.cancelled + counters.refused +
                                    counters.expired + counters.repeated + counters.overflowed + orders.children());
}

/// A good ring, and its memory as its producer has it.
class Ring {
 public:
  Ring() : ring_(std::move(*board::EventRing::create({.capacity = kCapacity}))) {
    void* const memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring_.descriptor(), 0);
    require(memory != MAP_FAILED);
    bytes_ = static_cast<std::uint8_t*>(memory);
  }
  ~Ring() { munmap(bytes_, kBytes); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  void write(const std::uint8_t* data, std::size_t size) {
    const std::size_t line = std::min(size, kLine);
    std::memcpy(bytes_ + offsetof(tw_event_ring, head), data, line);
    std::memcpy(bytes_ + sizeof(tw_event_ring), data + line, std::min(size - line, kBytes - sizeof(tw_event_ring)));
  }
  board::EventRing& operator*() { return ring_; }

 private:
  static constexpr std::size_t kBytes = sizeof(tw_event_ring) + kCapacity * sizeof(tw_event);
  board::EventRing ring_;
  std::uint8_t* bytes_ = nullptr;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Ring ring;
  ring.write(data, size);
  telemetry::OrderEvents orders({.patience = base::Seconds(1), .max_children = 16, .max_tuples = 4});
  board::EventRing::Counts counts;
  for (int round = 0; round < 2; ++round) {
    const base::Instant now = kNow + round * base::Seconds(2);
    std::uint64_t handed_on = 0;
    const auto drained = (*ring).drain(kNow, [&](const tw_event& event) {
      ++handed_on;
      check(event);
      if (const auto order = agent::order_event_of({}, event)) orders.add(*order);
    });
    require(drained.events == handed_on && drained.events + drained.malformed <= kCapacity);
    counts += drained;
    orders.close(now);
    check(orders);
    static_cast<void>(orders.cadence(now));
  }
  require(counts.events + counts.malformed <= kCapacity && counts.jumps <= 1);
  return 0;
}
