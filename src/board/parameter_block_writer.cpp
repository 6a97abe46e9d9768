// SPDX-License-Identifier: Apache-2.0
#include "board/parameter_block_writer.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "board/block_layout.h"

namespace tidewaiter::board {
namespace {

constexpr base::Nanoseconds kMaximumInterval = std::chrono::hours(1);

base::Result<void> seal(int descriptor) {
  if (fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0) return {};
  auto failure = base::fail_errno(errno, "seal the parameter block");
  if (failure.value().system_errno == EINVAL) {
    failure.value().code = base::ErrorCode::kUnavailable;
    failure.value().hint = "F_SEAL_FUTURE_WRITE needs Linux 5.1";
  }
  return failure;
}

}  // namespace

base::Result<ParameterBlockWriter> ParameterBlockWriter::create(const Options& options) {
  if (options.interval <= base::Nanoseconds(0) || options.interval > kMaximumInterval) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "interval of publication " + base::format_duration(options.interval),
                      "above 0, at most " + base::format_duration(kMaximumInterval));
  }
  auto descriptor = open_memory("tidewaiter-parameters", sizeof(tw_block));
  if (!descriptor) return tl::unexpected(std::move(descriptor).error());
  // Allocated now: no later access can find memory exhausted.
  if (fallocate(descriptor->get(), 0, 0, sizeof(tw_block)) != 0) {
    return base::fail_errno(errno, "allocate the parameter block");
  }
  auto memory = SharedMemory::map(descriptor->get(), sizeof(tw_block), SharedMemory::Access::kWrite);
  if (!memory) return tl::unexpected(std::move(memory).error());
  if (auto sealed = seal(descriptor->get()); !sealed) return tl::unexpected(std::move(sealed).error());
  return ParameterBlockWriter(std::move(*descriptor), std::move(*memory), options.interval);
}

ParameterBlockWriter::ParameterBlockWriter(base::FileDescriptor descriptor, SharedMemory memory,
                                           base::Nanoseconds interval)
    : descriptor_(std::move(descriptor)), memory_(std::move(memory)), interval_(interval), tuples_(TW_BLOCK_TUPLES) {
  for (std::size_t slot = TW_BLOCK_TUPLES; slot > 0; --slot) free_slots_.push_back(slot - 1);
  write_first_line();
}

ParameterBlockWriter::~ParameterBlockWriter() {
  if (memory_.is_mapped()) close_cleanly();
}

void ParameterBlockWriter::write_first_line() {
  tw_header header{};
  header.magic = TW_BLOCK_MAGIC;
  header.version = TW_BLOCK_VERSION;
  header.capacity = TW_BLOCK_TUPLES;
  header.block_size = sizeof(tw_block);
  header.record_size = sizeof(tw_slot);
  header.writer_pid = static_cast<std::uint32_t>(getpid());
  header.interval_ns = interval_.count();
  const auto words = words_of(header);
  for (std::size_t i = 0; i < words.size(); ++i) __atomic_store_n(memory_.word(0) + i, words[i], __ATOMIC_RELAXED);
}

void ParameterBlockWriter::publish(const tw_record& host, std::span<const tw_record> tuples, base::Instant now) {
  const auto taken = tuples.first(std::min<std::size_t>(tuples.size(), TW_BLOCK_TUPLES));
  ++publication_;
  for (const tw_record& tuple : taken) {
    const auto place = places_.find(words_of(tuple.key));
    if (place != places_.end()) place->second.publication = publication_;
  }
  release_all_but(publication_);

  tw_record keyless = host;
  keyless.key = {};
  write(kHostOffset, host_, words_of(keyless));
  for (const tw_record& tuple : taken) {
    const Key key = words_of(tuple.key);
    assert(key != Key{});
    const auto [place, is_new] = places_.try_emplace(key, Place{0, publication_});
    if (is_new) {
      place->second.slot = free_slots_.back();
      free_slots_.pop_back();
    }
    const std::size_t slot = place->second.slot;
    write(offset_of_tuple(slot), tuples_[slot], words_of(tuple));
  }

  const auto store = [this](std::size_t offset, auto value) {
    __atomic_store_n(memory_.word(offset), static_cast<std::uint64_t>(value), __ATOMIC_RELEASE);
  };
  const auto expiry = now.time_since_epoch() + std::max(3 * interval_, kMinimumValidity);
  store(offsetof(tw_header, omitted), tuples.size() - taken.size());
  store(offsetof(tw_header, publication), publication_);
  store(offsetof(tw_header, heartbeat_ns), now.time_since_epoch().count());
  // Last, and after the records for every reader: who sees the new expiry sees what it vouches for.
  store(offsetof(tw_header, expiry_ns), expiry.count());
}

void ParameterBlockWriter::set_interval(base::Nanoseconds interval) {
  assert(interval > base::Nanoseconds(0) && interval <= kMaximumInterval);
  interval_ = interval;
}

void ParameterBlockWriter::close_cleanly() {
  __atomic_store_n(memory_.word(offsetof(tw_header, expiry_ns)), 0, __ATOMIC_RELEASE);
}

void ParameterBlockWriter::release_all_but(std::uint64_t publication) {
  for (auto place = places_.begin(); place != places_.end();) {
    const auto [slot, last] = place->second;
    if (last == publication) {
      ++place;
      continue;
    }
    write(offset_of_tuple(slot), tuples_[slot], Words{});
    free_slots_.push_back(slot);
    place = places_.erase(place);
  }
}

void ParameterBlockWriter::write(std::size_t offset, Words& written, const Words& words) {
  if (written == words) return;
  store_sequenced(memory_.word(offset), words);
  written = words;
}

}  // namespace tidewaiter::board
