// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <fcntl.h>
#include <random>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "board/block_layout.h"
#include "board/tests/record_samples.h"

namespace tidewaiter::board {
namespace {

constexpr int kAllSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

base::FileDescriptor memory_with(const std::vector<std::byte>& bytes, int seals = kAllSeals) {
  base::FileDescriptor memory(memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::write(memory.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  EXPECT_EQ(fcntl(memory.get(), F_ADD_SEALS, seals), 0);
  return memory;
}

/// A good block with one tuple, as bytes.
std::vector<std::byte> good_block() {
  auto writer = writer_of();
  writer.publish(record_of({}, 3), std::vector{record_of(tuple_of(1), 10)}, at(base::Seconds(5)));
  std::vector<std::byte> bytes(sizeof(tw_block));
  EXPECT_EQ(pread(writer.descriptor(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  return bytes;
}

template <class Value>
std::vector<std::byte> good_block_but(std::size_t offset, Value value) {
  auto bytes = good_block();
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return bytes;
}

std::string refusal_of(const base::FileDescriptor& descriptor) {
  const auto reader = ParameterBlockReader::open(descriptor);
  if (reader) return "accepted";
  EXPECT_EQ(reader.error().code, base::ErrorCode::kMalformed);
  return reader.error().message();
}

TEST(HostileBlock, a_faithful_copy_is_accepted) { EXPECT_EQ(refusal_of(memory_with(good_block())), "accepted"); }

TEST(HostileBlock, is_refused_by_what_is_wrong_with_its_header) {
  const std::string refused = "parameter block: ";
  const std::string sizes = refused + "its sizes are not those of its version";
  EXPECT_EQ(refusal_of(memory_with(good_block_but(0, 'x'))), refused + "does not begin like one");
  EXPECT_EQ(refusal_of(memory_with(good_block_but(offsetof(tw_header, version), 2U))),
            refused + "version 2, this program knows 1");
  EXPECT_EQ(refusal_of(memory_with(good_block_but(offsetof(tw_header, capacity), 257U))), sizes);
  EXPECT_EQ(refusal_of(memory_with(good_block_but(offsetof(tw_header, block_size), 1U << 30))), sizes);
  EXPECT_EQ(refusal_of(memory_with(good_block_but(offsetof(tw_header, record_size), 0U))), sizes);
}

TEST(HostileBlock, is_refused_when_it_is_too_short_or_too_long) {
  auto bytes = good_block();
  bytes.resize(bytes.size() - 1);
  EXPECT_EQ(refusal_of(memory_with(bytes)), "parameter block: 66047 bytes, expected 66048");
  bytes.resize(bytes.size() + 2);
  EXPECT_EQ(refusal_of(memory_with(bytes)), "parameter block: 66049 bytes, expected 66048");
  EXPECT_NE(refusal_of(memory_with({})), "accepted");
}

TEST(HostileBlock, is_refused_while_anybody_could_shrink_or_write_it) {
  for (const int missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL}) {
    EXPECT_THAT(refusal_of(memory_with(good_block(), kAllSeals & ~missing)), testing::HasSubstr("seals")) << missing;
  }
}

TEST(HostileBlock, is_refused_when_it_is_no_memory_at_all) {
  for (const char* path : {"/dev/null", "/proc/self/exe", "/"}) {
    EXPECT_EQ(refusal_of(base::FileDescriptor(::open(path, O_RDONLY | O_CLOEXEC))), "parameter block: no memfd");
  }
  EXPECT_EQ(refusal_of(base::FileDescriptor()), "parameter block: no memfd");
}

TEST(HostileBlock, record_with_values_that_do_not_exist_is_unreadable) {
  constexpr std::size_t kRecord = offset_of_tuple(0) + offsetof(tw_slot, record);
  const auto read_with = [&](std::size_t offset, std::uint8_t value, tw_record& record) {
    const auto reader = ParameterBlockReader::open(memory_with(good_block_but(kRecord + offset, value)));
    return reader->read(Slot{0}, tuple_of(1), at(base::Seconds(5)), record);
  };
  const auto check = [&](std::size_t offset, std::uint8_t highest, const char* field) {
    tw_record record{};
    EXPECT_EQ(read_with(offset, highest, record), Freshness::kLive) << field;
    const tw_record before = record;
    for (const int above : {highest + 1, 127, 128, 255}) {
      EXPECT_EQ(read_with(offset, static_cast<std::uint8_t>(above), record), Freshness::kUnreadable) << field << above;
    }
    EXPECT_TRUE(is_same(record, before)) << field << ": left as it was";
  };
  check(offsetof(tw_record, state), TW_RED, "state");
  check(offsetof(tw_record, peer_fault), 1, "peer_fault");
  check(offsetof(tw_record, connection_mode), TW_MODE_ENFORCE, "connection_mode");
  check(offsetof(tw_record, order_mode), TW_MODE_ENFORCE, "order_mode");
  for (const std::size_t set : {offsetof(tw_record, live), offsetof(tw_record, enforced), offsetof(tw_record, stale)}) {
    check(set + offsetof(tw_parameters, pool_reuse), TW_POOL_WARM_ONLY, "pool_reuse");
    check(set + offsetof(tw_parameters, optional_reconnects), TW_RECONNECTS_FROZEN, "optional_reconnects");
    check(set + offsetof(tw_parameters, non_urgent_flow), TW_FLOW_CONTAINED, "non_urgent_flow");
    check(set + offsetof(tw_parameters, urgency_override), TW_URGENCY_APPROVAL, "urgency_override");
  }
}

TEST(HostileBlock, record_left_in_mid_write_is_unreadable_and_holds_nobody_up) {
  const auto reader = ParameterBlockReader::open(memory_with(good_block_but(offset_of_tuple(0), std::uint64_t{7})));
  ASSERT_TRUE(reader);
  tw_record record = record_of(tuple_of(1), 5);
  EXPECT_EQ(reader->read(Slot{0}, tuple_of(1), at(base::Seconds(5)), record), Freshness::kUnreadable);
  EXPECT_TRUE(is_same(record, record_of(tuple_of(1), 5))) << "the last good values stay";
  EXPECT_EQ(&obeyed_by(Freshness::kUnreadable, record), &record.stale);
  EXPECT_FALSE(reader->find(tuple_of(1)));
  EXPECT_EQ(reader->host(at(base::Seconds(5)), record), Freshness::kLive) << "the others can be read";
}

TEST(HostileBlock, random_bytes_are_survived) {
  std::mt19937_64 random(42);  // NOLINT: the same every time
  for (int round = 0; round < 50; ++round) {
    auto bytes = good_block();
    for (std::size_t i = offsetof(tw_header, heartbeat_ns); i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(random());
    }
    const auto reader = ParameterBlockReader::open(memory_with(bytes));
    ASSERT_TRUE(reader);
    tw_record record{};
    for (std::size_t slot = 0; slot < TW_BLOCK_TUPLES; ++slot) {
      tw_tuple key{};
      std::memcpy(&key, bytes.data() + offset_of_tuple(slot) + offsetof(tw_slot, record), sizeof key);
      static_cast<void>(reader->read(Slot{slot}, key, at(base::Seconds(5)), record));
    }
    EXPECT_FALSE(reader->find(tuple_of(1)));
  }
}

}  // namespace
}  // namespace tidewaiter::board
