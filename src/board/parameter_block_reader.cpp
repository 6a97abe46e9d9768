// SPDX-License-Identifier: Apache-2.0
#include "board/parameter_block_reader.h"

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "board/block_layout.h"
#include "board/sequence.h"

namespace tidewaiter::board {
namespace {

using Words = WordsOf<tw_record>;

tl::unexpected<base::Error> refuse(std::string what) {
  return base::fail(base::ErrorCode::kMalformed, "parameter block: " + std::move(what),
                    "the agent that handed it over is not a tidewaiter of this version");
}

std::uint64_t load(const SharedMemory& memory, std::size_t offset, int order) {
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

/// The words have just been stored one by one: the processor hands such a store on to a load of one word at once, but
/// keeps a wider load waiting. The compiler does not join atomic loads; 8 ns of 23 on the hot path.
bool has_key(const Words& words, const tw_tuple& key) {
  static_assert(offsetof(tw_record, key) == 0);
  const auto wanted = words_of(key);
  std::uint64_t difference = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    difference |= __atomic_load_n(&words[i], __ATOMIC_RELAXED) ^ wanted[i];
  return difference == 0;
}

using FourBytes = std::array<std::uint8_t, 4>;

/// The highest bit of each byte at `offset` that is above its limit, all limits below 128.
std::uint32_t excess(const Words& words, std::size_t offset, FourBytes limits) {
  constexpr std::uint32_t kLowBits = 0x7f7f7f7f;
  std::uint32_t bytes = 0;
  std::memcpy(&bytes, reinterpret_cast<const std::byte*>(words.data()) + offset, sizeof bytes);
  return (bytes | ((bytes & kLowBits) + (kLowBits - std::bit_cast<std::uint32_t>(limits)))) & ~kLowBits;
}

/// So that nobody's table is indexed beyond its end.
bool is_possible(const Words& words) {
  constexpr FourBytes kState{TW_RED, 1, TW_MODE_ENFORCE, TW_MODE_ENFORCE};
  constexpr FourBytes kSet{TW_POOL_WARM_ONLY, TW_RECONNECTS_FROZEN, TW_FLOW_CONTAINED, TW_URGENCY_APPROVAL};
  constexpr std::size_t kInSet = offsetof(tw_parameters, pool_reuse);
  return (excess(words, offsetof(tw_record, state), kState) | excess(words, offsetof(tw_record, live) + kInSet, kSet) |
          excess(words, offsetof(tw_record, enforced) + kInSet, kSet) |
          excess(words, offsetof(tw_record, stale) + kInSet, kSet)) == 0;
}

}  // namespace

base::Result<ParameterBlockReader> ParameterBlockReader::open(const base::FileDescriptor& descriptor) {
  if (auto checked = check_descriptor(descriptor.get()); !checked) return tl::unexpected(std::move(checked).error());
  auto memory = SharedMemory::map(descriptor.get(), sizeof(tw_block), SharedMemory::Access::kRead);
  if (!memory) return tl::unexpected(std::move(memory).error());
  ParameterBlockReader reader(std::move(*memory));
  if (auto checked = check(reader.header()); !checked) return tl::unexpected(std::move(checked).error());
  return reader;
}

std::optional<Slot> ParameterBlockReader::find(const tw_tuple& key) const {
  const auto wanted = words_of(key);
  if (wanted == words_of(tw_tuple{})) return std::nullopt;  // every free slot has it
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
  if (!has_key(words, key)) return Freshness::kAbsent;
  if (!is_possible(words)) return Freshness::kUnreadable;
  record = std::bit_cast<tw_record>(words);
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
