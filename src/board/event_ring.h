// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <tidewaiter/events.h>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"
#include "board/shared_memory.h"

namespace tidewaiter::board {

/// The agent's end of an event ring: the memory that one producer writes its events to. Nothing in it is believed but
/// that events below `head` have been written, and even those are copied before they are looked at.
/// One thread. Move-only; a producer that is still there goes on writing into its own mapping.
class EventRing {
 public:
  struct Options {
    std::uint32_t capacity = 4096;  ///< events; a power of two up to TW_EVENT_RING_MAX_CAPACITY
    std::uint64_t first = 0;        ///< the number of the first event
  };

  /// What came out of a ring.
  struct Counts {
    std::uint64_t events = 0;     ///< handed on
    std::uint64_t dropped = 0;    ///< the producer says so: they found the ring full
    std::uint64_t malformed = 0;  ///< not handed on: fields that cannot be
    std::uint64_t jumps = 0;      ///< the producer's number was impossible: whatever the ring held is lost, uncounted

    Counts& operator+=(const Counts& other);
    friend bool operator==(const Counts&, const Counts&) = default;
  };

  using Visitor = std::function<void(const tw_event&)>;

  /// An empty ring; its pages are made as they are first touched, by the producer.
  /// Errors: kInvalidArgument for a capacity that is none; what the kernel said.
  [[nodiscard]] static base::Result<EventRing> create(const Options& options);

  EventRing(EventRing&&) = default;
  EventRing& operator=(EventRing&&) = default;

  /// To be handed to the producer, who can write but not resize it.
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }
  /// Once it has been handed over: the mapping is enough.
  void close_descriptor() { descriptor_.reset(); }

  /// Hands on, in their order, the events that were there when it was called: at most one capacity of them. `now`: of
  /// CLOCK_MONOTONIC, as read before; no event is from later. Counts: what has come out since the last drain.
  /// Throws what `visit` throws; the event that it was called with is then gone.
  Counts drain(base::Instant now, const Visitor& visit);

  /// Inode of the producer's network namespace, as it says; 0: it does not.
  [[nodiscard]] std::uint64_t network_namespace() const;

 private:
  EventRing(base::FileDescriptor descriptor, SharedMemory memory, const Options& options);

  [[nodiscard]] std::uint64_t load(std::size_t offset, int order) const;
  [[nodiscard]] tw_event copy(std::uint64_t number) const;
  [[nodiscard]] std::uint64_t newly_dropped();

  base::FileDescriptor descriptor_;
  SharedMemory memory_;
  std::uint64_t capacity_;
  std::uint64_t tail_;         ///< events that have been read
  std::uint64_t dropped_ = 0;  ///< as last seen
};

}  // namespace tidewaiter::board
