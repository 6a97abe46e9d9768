// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "board/wire.h"

namespace tidewaiter::board {

/// Where a slot's sequence word lies in the parameter block; `index` < TW_BLOCK_TUPLES.
inline constexpr std::size_t kHostOffset = offsetof(tw_block, host);
constexpr std::size_t offset_of_tuple(std::size_t index) {
  return offsetof(tw_block, tuples) + index * sizeof(tw_slot);
}

}  // namespace tidewaiter::board
