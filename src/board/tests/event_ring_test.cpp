// SPDX-License-Identifier: Apache-2.0
#include "board/event_ring.h"

#include <fcntl.h>
#include <limits>
#include <numeric>
#include <rapidcheck.h>
#include <sys/wait.h>
#include <thread>

#include "board/tests/event_samples.h"
#include "board/tests/socket_samples.h"

extern "C" int record_in_c(int descriptor, uint64_t id, int64_t time_ns);

namespace tidewaiter::board {
namespace {

std::vector<std::uint64_t> numbers(std::uint64_t from, std::uint64_t count) {
  std::vector<std::uint64_t> result(count);
  std::iota(result.begin(), result.end(), from);
  return result;
}

TEST(EventRing, gives_what_was_recorded_in_order) {
  EventRing ring = ring_of({});
  const Events events = attach_to(ring.descriptor());
  EXPECT_TRUE(drained_ids(ring).empty());
  for (std::uint64_t n = 0; n < 100; ++n) EXPECT_TRUE(record(events, n));
  EXPECT_EQ(drained_ids(ring), numbers(0, 100));
  EXPECT_TRUE(drained_ids(ring).empty());
  EXPECT_TRUE(record(events, 100));
  EXPECT_EQ(drained_ids(ring), numbers(100, 1));
}

TEST(EventRing, drops_what_finds_it_full_and_counts_it) {
  EventRing ring = ring_of({.capacity = 4});
  const Events events = attach_to(ring.descriptor());
  for (std::uint64_t n = 0; n < 7; ++n) EXPECT_EQ(record(events, n), n < 4);
  EXPECT_EQ(tw_events_dropped(events.get()), 3U);
  EventRing::Counts counts;
  EXPECT_EQ(drained(ring, counts).size(), 4U);
  EXPECT_EQ(counts, (EventRing::Counts{.events = 4, .dropped = 3}));
  EXPECT_TRUE(record(events, 7)) << "there is room again";
  counts = {};
  EXPECT_EQ(drained(ring, counts).size(), 1U);
  EXPECT_EQ(counts, (EventRing::Counts{.events = 1})) << "dropped ones are counted once";
}

TEST(EventRing, numbers_may_pass_their_end) {
  for (const std::uint32_t capacity : {1U, 2U, 8U}) {
    EventRing ring = ring_of({.capacity = capacity, .first = std::numeric_limits<std::uint64_t>::max() - 20});
    const Events events = attach_to(ring.descriptor());
    for (std::uint64_t n = 0; n < 50; ++n) {
      ASSERT_TRUE(record(events, n));
      if ((n + 1) % capacity == 0) {
        ASSERT_EQ(drained_ids(ring), numbers(n + 1 - capacity, capacity));
      }
    }
  }
}

TEST(EventRing, loses_nothing_that_it_does_not_count) {
  EXPECT_TRUE(rc::check([] {
    const auto capacity = 1U << *rc::gen::inRange(0, 5);
    const auto first = *rc::gen::element<std::uint64_t>(0, std::numeric_limits<std::uint64_t>::max() - 30);
    EventRing ring = ring_of({.capacity = capacity, .first = first});
    Events events = attach_to(ring.descriptor());
    EventRing::Counts counts;
    std::uint64_t offered = 0;
    std::vector<std::uint64_t> accepted;
    std::vector<std::uint64_t> arrived;
    const auto drain = [&] {
      for (const tw_event& event : drained(ring, counts)) {
        RC_ASSERT(is_whole(event));
        arrived.push_back(event.id);
      }
    };
    for (const int step : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 40))) {
      if (step == 0) events = attach_to(ring.descriptor());  // a producer's successor goes on where it ended
      if (step < 8) drain();
      for (int i = 8; i < step; ++i) {
        if (record(events, offered)) accepted.push_back(offered);
        ++offered;
      }
    }
    drain();
    RC_ASSERT(arrived == accepted);
    RC_ASSERT(counts.events == accepted.size());
    RC_ASSERT(counts.events + counts.dropped == offered);
    RC_ASSERT(counts.malformed + counts.jumps == 0U);
  }));
}

TEST(EventRing, two_threads_lose_nothing_that_is_not_counted) {
  constexpr std::uint64_t kRecorded = 200'000;
  EventRing ring = ring_of({.capacity = 64});
  std::atomic<bool> is_over = false;
  std::uint64_t tries = 0;
  std::thread producer([&] {
    const Events events = attach_to(ring.descriptor());
    for (std::uint64_t n = 0; n < kRecorded; ++n) {
      bool is_taken = false;
      do {
        ++tries;
        is_taken = record(events, n);
        if (!is_taken) std::this_thread::yield();
      } while (!is_taken && n % 64 == 0);
    }
    is_over = true;
  });
  EventRing::Counts counts;
  std::uint64_t torn = 0;
  std::uint64_t out_of_order = 0;
  std::uint64_t next = 0;
  bool is_last = false;
  while (!is_last) {
    is_last = is_over;
    counts += ring.drain(kDrained, [&](const tw_event& event) {
      if (!is_whole(event)) ++torn;
      if (event.id < next) ++out_of_order;
      next = event.id + 1;
    });
  }
  producer.join();
  EXPECT_EQ(torn, 0U);
  EXPECT_EQ(out_of_order, 0U);
  EXPECT_GE(counts.events, kRecorded / 64);
  EXPECT_EQ(counts.events + counts.dropped, tries);
}

TEST(EventRing, records_from_a_file_of_c) {
  EventRing ring = ring_of({});
  EXPECT_EQ(record_in_c(ring.descriptor(), 4711, 5), 1);
  EventRing::Counts counts;
  const auto events = drained(ring, counts);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].id, 4711U);
  EXPECT_EQ(events[0].time_ns, 5);
  EXPECT_EQ(events[0].kind, TW_EVENT_SEND_ATTEMPT);
  EXPECT_EQ(events[0].port, 9000);
  EXPECT_EQ(std::string(events[0].destination, events[0].destination + 16),
            std::string(10, '\0') + "\xff\xff\x7f" + std::string(2, '\0') + "\x01");
  EXPECT_EQ(std::string(events[0].source, events[0].source + 16), std::string(15, '\0') + "\x01");
}

TEST(EventRing, recording_without_a_ring_does_nothing) {
  const tw_event event = event_of(1);
  EXPECT_EQ(tw_events_record(nullptr, &event), 0);
  EXPECT_EQ(tw_events_dropped(nullptr), 0U);
  EXPECT_EQ(tw_events_connection(nullptr), -1);
  tw_events_close(nullptr);
}

TEST(EventRing, a_child_process_does_not_record_into_its_parents_ring) {
  EventRing ring = ring_of({});
  const Events events = attach_to(ring.descriptor());
  ASSERT_TRUE(record(events, 0));
  const int recorded = in_child([&] {
    const int outcome = (record(events, 1) ? 1 : 0) + (tw_events_connection(events.get()) == -1 ? 0 : 2);
    tw_events_close(events.get());
    return outcome + (fcntl(STDIN_FILENO, F_GETFD) == 0 ? 0 : 4);
  });
  EXPECT_EQ(recorded, 0);
  ASSERT_TRUE(record(events, 2));
  EXPECT_EQ(drained_ids(ring), (std::vector<std::uint64_t>{0, 2}));
}

TEST(EventRing, says_which_network_namespace_its_producer_is_in) {
  EventRing ring = ring_of({});
  EXPECT_EQ(ring.network_namespace(), 0U);
  const Events events = attach_to(ring.descriptor());
  struct stat status {};
  ASSERT_EQ(stat("/proc/self/ns/net", &status), 0);
  EXPECT_EQ(ring.network_namespace(), status.st_ino);
}

TEST(EventRing, refuses_a_capacity_that_is_no_power_of_two) {
  for (const std::uint32_t capacity : {0U, 3U, 4097U, 2 * TW_EVENT_RING_MAX_CAPACITY}) {
    const auto ring = EventRing::create({.capacity = capacity});
    ASSERT_FALSE(ring);
    EXPECT_EQ(ring.error().code, base::ErrorCode::kInvalidArgument);
  }
}

TEST(EventRing, cannot_be_resized_by_its_producer) {
  const EventRing ring = ring_of({});
  EXPECT_EQ(ftruncate(ring.descriptor(), 0), -1);
  EXPECT_EQ(ftruncate(ring.descriptor(), 1 << 30), -1);
  EXPECT_EQ(fcntl(ring.descriptor(), F_ADD_SEALS, F_SEAL_WRITE), -1);
}

TEST(EventRing, reads_what_a_producer_has_punched_out_as_malformed) {
  EventRing ring = ring_of({});
  const Events events = attach_to(ring.descriptor());
  ASSERT_TRUE(record(events, 1));
  ASSERT_EQ(fallocate(ring.descriptor(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 512, 4096), 0);
  EventRing::Counts counts;
  EXPECT_TRUE(drained(ring, counts).empty());
  EXPECT_EQ(counts, (EventRing::Counts{.malformed = 1}));
}

/// A copy of a good ring's memory with one change, as an agent of another version would hand it out.
class OddRing {
 public:
  template <class Value>
  OddRing& with(std::size_t offset, Value value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof value);
    return *this;
  }
  OddRing& of_size(std::size_t size) {
    bytes_.resize(size);
    return *this;
  }
  int attach(int seals = F_SEAL_SHRINK) {
    const base::FileDescriptor memory(memfd_create("odd", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(::write(memory.get(), bytes_.data(), bytes_.size()), static_cast<ssize_t>(bytes_.size()));
    EXPECT_EQ(fcntl(memory.get(), F_ADD_SEALS, seals), 0);
    tw_events* events = nullptr;
    const int failed = tw_events_attach(memory.get(), &events);
    EXPECT_EQ(events == nullptr, failed != 0);
    tw_events_close(events);
    return failed;
  }

 private:
  static std::vector<char> good() {
    const EventRing ring = ring_of({.capacity = 64});
    std::vector<char> bytes(sizeof(tw_event_ring) + 64 * sizeof(tw_event));
    EXPECT_EQ(pread(ring.descriptor(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    return bytes;
  }
  std::vector<char> bytes_ = good();
};

TEST(AttachToRing, refuses_what_is_not_a_ring_of_this_version) {
  constexpr std::size_t kBytes = sizeof(tw_event_ring) + 64 * sizeof(tw_event);
  EXPECT_EQ(OddRing().attach(), 0) << "a faithful copy";
  EXPECT_EQ(OddRing().with(0, 'x').attach(), -EPROTO);
  EXPECT_EQ(OddRing().with(offsetof(tw_event_ring, version), 2U).attach(), -EPROTO);
  EXPECT_EQ(OddRing().with(offsetof(tw_event_ring, event_size), 128U).attach(), -EPROTO);
  for (const std::uint32_t capacity : {0U, 1U, 63U, 128U, 1U << 31}) {
    EXPECT_EQ(OddRing().with(offsetof(tw_event_ring, capacity), capacity).attach(), -EPROTO) << capacity;
  }
  for (const std::size_t size : {std::size_t{0}, sizeof(tw_event_ring) - 1, kBytes - 1, kBytes + 1}) {
    EXPECT_EQ(OddRing().of_size(size).attach(), -EPROTO) << size;
  }
  EXPECT_EQ(OddRing().attach(F_SEAL_GROW), -EPROTO) << "it could be shrunk under the producer";
  tw_events* events = nullptr;
  EXPECT_EQ(tw_events_attach(STDIN_FILENO, &events), -EPROTO);
  EXPECT_EQ(tw_events_attach(-1, &events), -EPROTO);
  EXPECT_EQ(events, nullptr);
}

TEST(AttachToRing, refuses_a_ring_whose_clock_is_another) {
  EXPECT_EQ(OddRing().with(offsetof(tw_event_ring, boot_id), 'x').attach(), -EXDEV);
  EXPECT_EQ(OddRing().with(offsetof(tw_event_ring, time_namespace), std::uint64_t{7}).attach(), -EXDEV);
}

TEST(Route, is_that_of_socket_addresses) {
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(443);
  v6.sin6_addr.s6_addr[0] = 0xfe;
  v6.sin6_addr.s6_addr[15] = 0x09;
  tw_event event{};
  EXPECT_EQ(tw_event_set_route(&event, nullptr, reinterpret_cast<const sockaddr*>(&v6)), 0);
  EXPECT_EQ(event.destination[0], 0xfe);
  EXPECT_EQ(event.destination[15], 0x09);
  EXPECT_EQ(event.port, 443);
  sockaddr other{};
  other.sa_family = AF_UNIX;
  EXPECT_EQ(tw_event_set_route(&event, nullptr, &other), -EAFNOSUPPORT);
}

}  // namespace
}  // namespace tidewaiter::board
