// SPDX-License-Identifier: Apache-2.0
#include "board/event_ring.h"

#include <bit>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "board/process_identity.h"
#include "board/sequence.h"

namespace tidewaiter::board {
namespace {

/// Two clocks of one host that are read one after the other; anything later is not a time of this boot.
constexpr std::int64_t kSlackNs = 1'000'000'000;
constexpr std::int64_t kLongestNs = std::int64_t{1} << 62;  // differences of two such times fit
constexpr std::uint16_t kMaxErrno = 4095;

constexpr std::size_t size_of(std::uint64_t capacity) { return sizeof(tw_event_ring) + capacity * sizeof(tw_event); }

bool is_time(std::int64_t ns) { return ns >= 0 && ns < kLongestNs; }

/// The fields that the kind uses. That a time is past is not asked of what is planned.
bool is_possible(const tw_event& event, std::int64_t now_ns) {
  if (event.time_ns <= 0 || event.time_ns > now_ns + kSlackNs || event.reserved != 0 || event.error > kMaxErrno ||
      event.outcome > TW_GATE_REFUSE || event.shadow_outcome > TW_GATE_REFUSE) {
    return false;
  }
  switch (event.kind) {
    case TW_EVENT_DECISION:
      return is_time(event.schedule.scheduled_ns) && is_time(event.schedule.slice_end_ns);
    case TW_EVENT_SEND_ATTEMPT:
    case TW_EVENT_SEND_FAILED:
    case TW_EVENT_CANCEL:
      return is_time(event.gate_delay_ns);
    case TW_EVENT_RETRY_SCHEDULED:
      return is_time(event.due_ns);
    case TW_EVENT_FILL:
      return event.quantity >= 0;
    case TW_EVENT_ADMISSION:
    case TW_EVENT_SENT:
    case TW_EVENT_CONNECT_BEGIN:
    case TW_EVENT_CONNECT_ESTABLISHED:
    case TW_EVENT_CONNECT_FAILED:
    case TW_EVENT_RETRY_FIRED:
    case TW_EVENT_RETRY_CANCELLED:
    case TW_EVENT_BUDGET_REFUSED:
    case TW_EVENT_CLOSED:
      return true;
    default:
      return false;
  }
}

}  // namespace

EventRing::Counts& EventRing::Counts::operator+=(const Counts& other) {
  events += other.events;
  dropped += other.dropped;
  malformed += other.malformed;
  jumps += other.jumps;
  return *this;
}

base::Result<EventRing> EventRing::create(const Options& options) {
  if (!std::has_single_bit(options.capacity) || options.capacity > TW_EVENT_RING_MAX_CAPACITY) {
    return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("an event ring of {} events", options.capacity),
                      fmt::format("a power of two up to {}", TW_EVENT_RING_MAX_CAPACITY));
  }
  const std::size_t bytes = size_of(options.capacity);
  auto descriptor = open_memory("tidewaiter-events", bytes);
  if (!descriptor) return tl::unexpected(std::move(descriptor).error());
  auto memory = SharedMemory::map(descriptor->get(), bytes, SharedMemory::Access::kWrite, SharedMemory::Pages::kLazy);
  if (!memory) return tl::unexpected(std::move(memory).error());
  if (fcntl(descriptor->get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return base::fail_errno(errno, "seal an event ring");
  }
  return EventRing(std::move(*descriptor), std::move(*memory), options);
}

EventRing::EventRing(base::FileDescriptor descriptor, SharedMemory memory, const Options& options)
    : descriptor_(std::move(descriptor)),
      memory_(std::move(memory)),
      capacity_(options.capacity),
      tail_(options.first) {
  const ProcessIdentity identity = own_identity();
  tw_event_ring ring{};
  ring.magic = TW_EVENT_RING_MAGIC;
  ring.version = TW_EVENT_RING_VERSION;
  ring.capacity = options.capacity;
  ring.event_size = sizeof(tw_event);
  ring.agent_pid = static_cast<std::uint32_t>(getpid());
  ring.time_namespace = identity.time_namespace;
  identity.boot_id.copy(ring.boot_id, sizeof ring.boot_id - 1);
  ring.head = ring.tail = options.first;
  const auto words = words_of(ring);
  for (std::size_t i = 0; i < words.size(); ++i) __atomic_store_n(memory_.word(0) + i, words[i], __ATOMIC_RELAXED);
}

std::uint64_t EventRing::load(std::size_t offset, int order) const {
  return __atomic_load_n(memory_.word(offset), order);
}

tw_event EventRing::copy(std::uint64_t number) const {
  const std::uint64_t* const slot = memory_.word(sizeof(tw_event_ring) + (number & (capacity_ - 1)) * sizeof(tw_event));
  WordsOf<tw_event> words;
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = __atomic_load_n(slot + i, __ATOMIC_RELAXED);
  return std::bit_cast<tw_event>(words);
}

std::uint64_t EventRing::newly_dropped() {
  const std::uint64_t dropped = load(offsetof(tw_event_ring, dropped), __ATOMIC_RELAXED);
  if (dropped <= dropped_) return 0;
  return dropped - std::exchange(dropped_, dropped);
}

EventRing::Counts EventRing::drain(base::Instant now, const Visitor& visit) {
  Counts counts;
  const std::uint64_t head = load(offsetof(tw_event_ring, head), __ATOMIC_ACQUIRE);
  counts.dropped = newly_dropped();
  if (head == tail_) return counts;
  if (head - tail_ > capacity_) {
    tail_ = head;  // whatever lies there, nobody knows when it was written
    ++counts.jumps;
  }
  while (tail_ != head) {
    const tw_event event = copy(tail_++);
    if (is_possible(event, now.time_since_epoch().count())) {
      ++counts.events;
      visit(event);
    } else {
      ++counts.malformed;
    }
  }
  // Last: from here on the producer writes over what has been copied.
  __atomic_store_n(memory_.word(offsetof(tw_event_ring, tail)), tail_, __ATOMIC_RELEASE);
  return counts;
}

std::uint64_t EventRing::network_namespace() const {
  return load(offsetof(tw_event_ring, network_namespace), __ATOMIC_RELAXED);
}

}  // namespace tidewaiter::board
