// SPDX-License-Identifier: Apache-2.0
#include "board/parameter_block_reader.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "board/sequence.h"

namespace tidewaiter::board {
namespace {

using Words = WordsOf<tw_record>;

tl::unexpected<base::Error> refuse(std::string what) {
  return base::fail(base::ErrorCode::kMalformed, "parameter block: " + std::move(what),
                    "the agent that handed it over is not a tidewaiter of this version");
}

std::uint64_t load(const BlockMemory& memory, std::size_t offset, int order) {
  return __atomic_load_n(memory.word(offset), order);
}

/// The kernel's word: it cannot shrink under the reader, nor be written by another client.
base::Result<void> check_descriptor(int descriptor) {
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0) return refuse("no memfd");
  constexpr int kNeeded = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if ((seals & kNeeded) != kNeeded) return refuse(fmt::format("seals {:#x}, needed {:#x}", seals, kNeeded));
  struct stat status {};
  if (fstat(descriptor, &status) != 0) return base::fail_errno(errno, "size of the parameter block");
  if (status.st_size != sizeof(tw_block)) {
    return refuse(fmt::format("{} bytes, expected {}", status.st_size, sizeof(tw_block)));
  }
  return {};
}

base::Result<void> check(const tw_header& header) {
  if (header.magic != TW_BLOCK_MAGIC) return refuse("does not begin like one");
  if (header.version != TW_BLOCK_VERSION) {
    return refuse(fmt::format("version {}, this program knows {}", header.version, TW_BLOCK_VERSION));
  }
  if (header.capacity != TW_BLOCK_TUPLES || header.block_size != sizeof(tw_block) ||
      header.record_size != sizeof(tw_slot)) {
    return refuse("its sizes are not those of its version");
  }
  return {};
}

bool is_possible(const tw_parameters& set) {
  return set.pool_reuse <= TW_POOL_WARM_ONLY && set.optional_reconnects <= TW_RECONNECTS_FROZEN &&
         set.non_urgent_flow <= TW_FLOW_CONTAINED && set.urgency_override <= TW_URGENCY_APPROVAL;
}

/// So that nobody's table is indexed beyond its end.
bool is_possible(const tw_record& record) {
  return record.state <= TW_RED && record.peer_fault <= 1 && record.connection_mode <= TW_MODE_ENFORCE &&
         record.order_mode <= TW_MODE_ENFORCE && is_possible(record.live) && is_possible(record.enforced) &&
         is_possible(record.stale);
}

}  // namespace

base::Result<ParameterBlockReader> ParameterBlockReader::open(const base::FileDescriptor& descriptor) {
  if (auto checked = check_descriptor(descriptor.get()); !checked) return tl::unexpected(std::move(checked).error());
  auto memory = BlockMemory::map(descriptor.get(), BlockMemory::Access::kRead);
  if (!memory) return tl::unexpected(std::move(memory).error());
  ParameterBlockReader reader(std::move(*memory));
  if (auto checked = check(reader.header()); !checked) return tl::unexpected(std::move(checked).error());
  return reader;
}

std::optional<Slot> ParameterBlockReader::find(const tw_tuple& key) const {
  const auto wanted = words_of(key);
  for (std::size_t index = 0; index < TW_BLOCK_TUPLES; ++index) {
    WordsOf<tw_tuple> found{};
    if (load_sequenced(memory_.word(offset_of_tuple(index)), found) && found == wanted) return Slot{index};
  }
  return std::nullopt;
}

Freshness ParameterBlockReader::read(Slot slot, const tw_tuple& key, base::Instant now, tw_record& record) const {
  if (slot.index >= TW_BLOCK_TUPLES) return Freshness::kAbsent;
  return read_at(offset_of_tuple(slot.index), key, now, record);
}

Freshness ParameterBlockReader::host(base::Instant now, tw_record& record) const {
  return read_at(kHostOffset, tw_tuple{}, now, record);
}

Freshness ParameterBlockReader::read_at(std::size_t offset, const tw_tuple& key, base::Instant now,
                                        tw_record& record) const {
  // Before the record: an expiry that is seen vouches for what is read after it.
  const auto expiry = static_cast<std::int64_t>(load(memory_, offsetof(tw_header, expiry_ns), __ATOMIC_ACQUIRE));
  Words words;
  if (!load_sequenced(memory_.word(offset), words)) return Freshness::kUnreadable;
  const auto found = std::bit_cast<tw_record>(words);
  if (words_of(found.key) != words_of(key)) return Freshness::kAbsent;
  if (!is_possible(found)) return Freshness::kUnreadable;
  record = found;
  return now.time_since_epoch().count() < expiry ? Freshness::kLive : Freshness::kStale;
}

std::uint64_t ParameterBlockReader::publication() const {
  return load(memory_, offsetof(tw_header, publication), __ATOMIC_ACQUIRE);
}

tw_header ParameterBlockReader::header() const {
  WordsOf<tw_header> words;
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = __atomic_load_n(memory_.word(0) + i, __ATOMIC_ACQUIRE);
  return std::bit_cast<tw_header>(words);
}

}  // namespace tidewaiter::board
