// SPDX-License-Identifier: Apache-2.0
//
// A block full of whatever bytes: a reader neither crashes nor hangs, and what it hands on has possible values.
// Input: flag byte, then the block from its start; the rest of it is zero. With the lowest flag the first line is
// mended, so that most inputs get past it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "board/parameter_block_reader.h"

namespace {

using namespace tidewaiter;

void require(bool holds) {
  if (!holds) std::abort();
}

void mend(std::vector<std::uint8_t>& block) {
  tw_header header{};
  std::memcpy(&header, block.data(), sizeof header);
  header.magic = TW_BLOCK_MAGIC;
  header.version = TW_BLOCK_VERSION;
  header.capacity = TW_BLOCK_TUPLES;
  header.block_size = sizeof(tw_block);
  header.record_size = sizeof(tw_slot);
  std::memcpy(block.data(), &header, sizeof header);
}

base::FileDescriptor memory_with(const std::vector<std::uint8_t>& block) {
  base::FileDescriptor memory(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  require(::write(memory.get(), block.data(), block.size()) == static_cast<ssize_t>(block.size()));
  fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
  return memory;
}

void check(board::Freshness freshness, const tw_record& record) {
  if (freshness != board::Freshness::kLive && freshness != board::Freshness::kStale) return;
  require(record.state <= TW_RED && record.peer_fault <= 1);
  for (const tw_parameters* set : {&record.live, &record.enforced, &record.stale}) {
    require(set->pool_reuse <= TW_POOL_WARM_ONLY && set->optional_reconnects <= TW_RECONNECTS_FROZEN);
    require(set->non_urgent_flow <= TW_FLOW_CONTAINED && set->urgency_override <= TW_URGENCY_APPROVAL);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::vector<std::uint8_t> block(data + 1, data + size);
  block.resize(sizeof(tw_block));
  if ((data[0] & 1) != 0) mend(block);
  const auto reader = board::ParameterBlockReader::open(memory_with(block));
  if (!reader) return 0;
  const base::Instant now{base::Seconds(1)};
  tw_record record{};
  check(reader->host(now, record), record);
  for (std::size_t slot = 0; slot <= 3; ++slot) {
    tw_tuple key{};
    std::memcpy(&key, block.data() + sizeof(tw_header) + (slot + 1) * sizeof(tw_slot) + sizeof(std::uint64_t),
                sizeof key);
    const auto freshness = reader->read(board::Slot{slot}, key, now, record);
    require(freshness != board::Freshness::kAbsent);
    check(freshness, record);
  }
  return 0;
}
