// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/result.h"
#include "board/wire.h"

namespace tidewaiter::board {

/// The parameter block in this process's address space: an array of words, aligned to pages. Move-only.
class BlockMemory {
 public:
  enum class Access : std::uint8_t { kRead, kWrite };

  /// Maps sizeof(tw_block) bytes of `descriptor`, which must have them. Errors: what mmap said.
  [[nodiscard]] static base::Result<BlockMemory> map(int descriptor, Access access);

  BlockMemory(BlockMemory&& other) noexcept : words_(std::exchange(other.words_, nullptr)) {}
  BlockMemory& operator=(BlockMemory&& other) noexcept {
    std::swap(words_, other.words_);
    return *this;
  }
  BlockMemory(const BlockMemory&) = delete;
  BlockMemory& operator=(const BlockMemory&) = delete;
  ~BlockMemory();

  [[nodiscard]] bool is_mapped() const { return words_ != nullptr; }

  /// The word at an offset in bytes, a multiple of 8 within the block. Of a kRead mapping it can only be read.
  [[nodiscard]] std::uint64_t* word(std::size_t offset) const { return words_ + offset / sizeof(std::uint64_t); }

 private:
  explicit BlockMemory(std::uint64_t* words) : words_(words) {}
  std::uint64_t* words_;
};

/// Where a slot's sequence word lies; `index` < TW_BLOCK_TUPLES.
inline constexpr std::size_t kHostOffset = offsetof(tw_block, host);
constexpr std::size_t offset_of_tuple(std::size_t index) {
  return offsetof(tw_block, tuples) + index * sizeof(tw_slot);
}

}  // namespace tidewaiter::board
