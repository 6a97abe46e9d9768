// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"
#include "board/shared_memory.h"
#include "board/wire.h"

namespace tidewaiter::board {

/// What a read found, and so which of the record's sets to obey (obeyed_by).
enum class Freshness : std::uint8_t {
  kLive,        ///< the record is filled in
  kStale,       ///< likewise, but the agent has not confirmed it in time, or has gone
  kUnreadable,  ///< the record is left as it was: the writer is suspended or died in it, or its values are impossible
  kAbsent,      ///< the record is left as it was: the slot holds another tuple, or none
};

/// Where a tuple was found.
struct Slot {
  std::size_t index = 0;
};

/// A client's side of the parameter block: looks, and neither blocks the writer nor waits for it.
/// Any number of threads may read through one object.
///
/// A caller keeps one tw_record per tuple for as long as it cares for the tuple and hands it to every read, so that
/// after kUnreadable it still holds the last good values; before the first read its `stale` set says what to do then.
class ParameterBlockReader {
 public:
  /// Nothing in the block is believed: size and seals are the kernel's word. The descriptor is not needed afterwards.
  /// Errors: kMalformed with what is wrong (no memfd, not sealed, truncated, not a block, another version).
  [[nodiscard]] static base::Result<ParameterBlockReader> open(const base::FileDescriptor& descriptor);

  /// The tuple's slot, as of now: walks the slots, a microsecond. Slots stay while a tuple is published, so this is for
  /// the first read and after kAbsent, at most once per publication().
  [[nodiscard]] std::optional<Slot> find(const tw_tuple& key) const;

  /// The hot path: one record, some nanoseconds. `now` as read before the call. kAbsent also for a slot out of range.
  [[nodiscard]] Freshness read(Slot slot, const tw_tuple& key, base::Instant now, tw_record& record) const;

  /// The host's record. Never kAbsent.
  [[nodiscard]] Freshness host(base::Instant now, tw_record& record) const;

  /// How often the writer has published; 0 before the first time.
  [[nodiscard]] std::uint64_t publication() const;

  /// The header as it is, each figure by itself: for displays.
  [[nodiscard]] tw_header header() const;

 private:
  explicit ParameterBlockReader(SharedMemory memory) : memory_(std::move(memory)) {}

  [[nodiscard]] Freshness read_at(std::size_t offset, const tw_tuple& key, base::Instant now, tw_record& record) const;

  SharedMemory memory_;
};

/// The set of parameters that binds whoever read `record`.
[[nodiscard]] inline const tw_parameters& obeyed_by(Freshness freshness, const tw_record& record) {
  return freshness == Freshness::kLive ? record.enforced : record.stale;
}

}  // namespace tidewaiter::board
