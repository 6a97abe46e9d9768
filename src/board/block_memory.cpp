// SPDX-License-Identifier: Apache-2.0
#include "board/block_memory.h"

#include <cerrno>
#include <sys/mman.h>

namespace tidewaiter::board {

base::Result<BlockMemory> BlockMemory::map(int descriptor, Access access) {
  const int protection = access == Access::kWrite ? PROT_READ | PROT_WRITE : PROT_READ;
  // Populated: no read on the hot path meets a page for the first time.
  void* const address = mmap(nullptr, sizeof(tw_block), protection, MAP_SHARED | MAP_POPULATE, descriptor, 0);
  if (address == MAP_FAILED) return base::fail_errno(errno, "map the parameter block");
  return BlockMemory(static_cast<std::uint64_t*>(address));
}

BlockMemory::~BlockMemory() {
  if (words_ != nullptr) munmap(words_, sizeof(tw_block));
}

}  // namespace tidewaiter::board
