// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"
#include "board/sequence.h"
#include "board/shared_memory.h"
#include "board/wire.h"

namespace tidewaiter::board {

/// The agent's side of the parameter block: a sealed memfd that only this mapping can write.
/// One thread. Move-only; the destructor closes cleanly.
class ParameterBlockWriter {
 public:
  struct Options {
    base::Nanoseconds interval = base::Seconds(1);  ///< between two publications
  };

  /// What is published holds for three intervals, and at least for this long.
  static constexpr base::Nanoseconds kMinimumValidity = base::Seconds(1);

  /// A block without tuples that is stale until the first publication.
  /// Errors: kInvalidArgument for an interval that is not above 0 and at most an hour; kUnavailable before Linux 5.1.
  [[nodiscard]] static base::Result<ParameterBlockWriter> create(const Options& options);

  ParameterBlockWriter(ParameterBlockWriter&&) = default;
  ParameterBlockWriter& operator=(ParameterBlockWriter&&) = delete;
  ~ParameterBlockWriter();

  /// Writes what has changed, then heartbeat and expiry. `tuples`: distinct keys, none empty, the most important first;
  /// beyond TW_BLOCK_TUPLES they are left out and counted. A tuple keeps its slot until a publication without it. The
  /// host's key is written as empty.
  void publish(const tw_record& host, std::span<const tw_record> tuples, base::Instant now);

  /// Publications come at another interval from the next one on, and hold for three of it. The header goes on to name
  /// the first. Above 0, at most an hour.
  void set_interval(base::Nanoseconds interval);

  /// Makes everything stale at once.
  void close_cleanly();

  /// To be handed to readers; they can neither write nor resize it.
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }
  [[nodiscard]] base::Nanoseconds interval() const { return interval_; }

 private:
  using Key = WordsOf<tw_tuple>;
  using Words = WordsOf<tw_record>;
  struct Place {
    std::size_t slot;
    std::uint64_t publication;  ///< the last one that had this tuple
  };

  ParameterBlockWriter(base::FileDescriptor descriptor, SharedMemory memory, base::Nanoseconds interval);

  void write_first_line();
  void release_all_but(std::uint64_t publication);
  void write(std::size_t offset, Words& written, const Words& words);

  base::FileDescriptor descriptor_;
  SharedMemory memory_;
  base::Nanoseconds interval_;
  std::uint64_t publication_ = 0;
  std::map<Key, Place> places_;
  std::vector<std::size_t> free_slots_;  ///< the next one to give away last
  Words host_{};
  std::vector<Words> tuples_;  ///< what each slot holds
};

}  // namespace tidewaiter::board
