// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <map>
#include <rapidcheck.h>
#include <sys/mman.h>

#include "board/tests/record_samples.h"

namespace tidewaiter::board {
namespace {

using base::Milliseconds;
using base::Seconds;

const tw_record kHost = record_of({}, 7);

TEST(ParameterBlock, is_stale_until_the_first_publication) {
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  tw_record record{};
  EXPECT_EQ(reader.host(at(Seconds(0)), record), Freshness::kStale);
  EXPECT_EQ(reader.publication(), 0U);
  EXPECT_FALSE(reader.find(tuple_of(1)));
}

TEST(ParameterBlock, gives_back_what_was_published) {
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  const std::vector tuples{record_of(tuple_of(1), 10), record_of(tuple_of(2), 20)};
  writer.publish(kHost, tuples, at(Seconds(5)));
  tw_record record{};
  EXPECT_EQ(reader.host(at(Seconds(5)), record), Freshness::kLive);
  EXPECT_TRUE(is_same(record, kHost));
  for (const tw_record& tuple : tuples) {
    const auto slot = reader.find(tuple.key);
    ASSERT_TRUE(slot);
    EXPECT_EQ(reader.read(*slot, tuple.key, at(Seconds(5)), record), Freshness::kLive);
    EXPECT_TRUE(is_same(record, tuple));
    EXPECT_EQ(&obeyed_by(Freshness::kLive, record), &record.enforced);
  }
  EXPECT_EQ(reader.publication(), 1U);
}

TEST(ParameterBlock, says_who_wrote_it_and_when) {
  auto writer = writer_of(Milliseconds(500));
  const auto reader = reader_of(writer.descriptor());
  writer.publish(kHost, {}, at(Seconds(5)));
  const tw_header header = reader.header();
  EXPECT_EQ(header.writer_pid, static_cast<std::uint32_t>(getpid()));
  EXPECT_EQ(header.interval_ns, 500'000'000);
  EXPECT_EQ(header.heartbeat_ns, 5'000'000'000);
  EXPECT_EQ(header.expiry_ns, 6'500'000'000);
  EXPECT_EQ(header.omitted, 0U);
}

TEST(ParameterBlock, host_has_no_key_whatever_the_caller_wrote) {
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  writer.publish(record_of(tuple_of(1), 3), {}, at(Seconds(5)));
  tw_record record{};
  EXPECT_EQ(reader.host(at(Seconds(5)), record), Freshness::kLive);
  EXPECT_EQ(words_of(record.key), words_of(tw_tuple{}));
}

TEST(ParameterBlock, expires_after_three_intervals_and_not_before_a_second) {
  struct Case {
    base::Nanoseconds interval;
    base::Nanoseconds validity;
  };
  for (const auto& [interval, validity] : {Case{Milliseconds(100), Seconds(1)}, Case{Milliseconds(333), Seconds(1)},
                                           Case{Seconds(1), Seconds(3)}, Case{Seconds(60), Seconds(180)}}) {
    auto writer = writer_of(interval);
    const auto reader = reader_of(writer.descriptor());
    writer.publish(kHost, std::vector{record_of(tuple_of(1), 10)}, at(Seconds(100)));
    const auto end = at(Seconds(100) + validity);
    const auto slot = reader.find(tuple_of(1));
    ASSERT_TRUE(slot);
    tw_record record{};
    EXPECT_EQ(reader.read(*slot, tuple_of(1), end - base::Nanoseconds(1), record), Freshness::kLive);
    EXPECT_EQ(reader.read(*slot, tuple_of(1), end, record), Freshness::kStale);
    EXPECT_TRUE(is_same(record, record_of(tuple_of(1), 10))) << "the stale set comes with it";
    EXPECT_EQ(&obeyed_by(Freshness::kStale, record), &record.stale);
    EXPECT_EQ(reader.host(end, record), Freshness::kStale);
  }
}

TEST(ParameterBlock, expires_by_the_interval_that_was_set_last) {
  auto writer = writer_of(Seconds(1));
  const auto reader = reader_of(writer.descriptor());
  writer.set_interval(Seconds(10));
  writer.publish(kHost, {}, at(Seconds(5)));
  tw_record record{};
  EXPECT_EQ(reader.host(at(Seconds(35)) - base::Nanoseconds(1), record), Freshness::kLive);
  EXPECT_EQ(reader.host(at(Seconds(35)), record), Freshness::kStale);
  EXPECT_EQ(reader.header().interval_ns, 1'000'000'000) << "the first line is written once";
  writer.set_interval(Seconds(1));
  writer.publish(kHost, {}, at(Seconds(40)));
  EXPECT_EQ(reader.host(at(Seconds(43)), record), Freshness::kStale);
}

TEST(ParameterBlock, is_live_again_after_a_late_publication) {
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  writer.publish(kHost, {}, at(Seconds(5)));
  tw_record record{};
  ASSERT_EQ(reader.host(at(Seconds(60)), record), Freshness::kStale);
  writer.publish(kHost, {}, at(Seconds(60)));
  EXPECT_EQ(reader.host(at(Seconds(60)), record), Freshness::kLive);
}

TEST(ParameterBlock, is_stale_at_once_when_closed) {
  auto writer = std::make_unique<ParameterBlockWriter>(writer_of());
  const auto reader = reader_of(writer->descriptor());
  tw_record record{};
  writer->publish(kHost, {}, at(Seconds(5)));
  writer->close_cleanly();
  EXPECT_EQ(reader.host(at(Seconds(5)), record), Freshness::kStale);
  writer->publish(kHost, {}, at(Seconds(5)));
  ASSERT_EQ(reader.host(at(Seconds(5)), record), Freshness::kLive);
  writer.reset();
  EXPECT_EQ(reader.host(at(Seconds(5)), record), Freshness::kStale) << "the destructor closes as well";
  EXPECT_TRUE(is_same(record, kHost)) << "what was mapped stays readable";
}

TEST(ParameterBlock, tuple_keeps_its_slot_while_it_is_published) {
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  const auto publish = [&](const std::vector<std::uint32_t>& numbers) {
    writer.publish(kHost, records_of(numbers), at(Seconds(5)));
  };
  publish({1, 2, 3});
  const auto third = reader.find(tuple_of(3));
  ASSERT_TRUE(third);
  publish({3, 4});
  publish({5, 4, 6, 3});
  tw_record record{};
  EXPECT_EQ(reader.read(*third, tuple_of(3), at(Seconds(5)), record), Freshness::kLive);
  const auto fourth = reader.find(tuple_of(4));
  ASSERT_TRUE(fourth);
  publish({4});
  const tw_record before = record;
  EXPECT_EQ(reader.read(*third, tuple_of(3), at(Seconds(5)), record), Freshness::kAbsent);
  EXPECT_TRUE(is_same(record, before)) << "left as it was";
  EXPECT_EQ(reader.find(tuple_of(4))->index, fourth->index);
  for (const std::uint32_t gone : {1U, 2U, 3U, 5U, 6U}) EXPECT_FALSE(reader.find(tuple_of(gone))) << gone;
}

TEST(ParameterBlock, has_no_tuple_of_another_name_in_a_slot_that_was_given_away) {
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  writer.publish(kHost, std::vector{record_of(tuple_of(1), 1)}, at(Seconds(5)));
  const auto slot = reader.find(tuple_of(1));
  writer.publish(kHost, std::vector{record_of(tuple_of(2), 2)}, at(Seconds(5)));
  ASSERT_EQ(reader.find(tuple_of(2))->index, slot->index) << "reused";
  tw_record record{};
  EXPECT_EQ(reader.read(*slot, tuple_of(1), at(Seconds(5)), record), Freshness::kAbsent);
}

TEST(ParameterBlock, counts_the_tuples_beyond_its_capacity) {
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  std::vector<tw_record> tuples;
  for (std::uint32_t n = 1; n <= TW_BLOCK_TUPLES + 44; ++n) tuples.push_back(record_of(tuple_of(n), n));
  writer.publish(kHost, tuples, at(Seconds(5)));
  EXPECT_EQ(reader.header().omitted, 44U);
  EXPECT_TRUE(reader.find(tuple_of(TW_BLOCK_TUPLES)));
  EXPECT_FALSE(reader.find(tuple_of(TW_BLOCK_TUPLES + 1))) << "the less important are left out";
  std::reverse(tuples.begin(), tuples.end());
  writer.publish(kHost, tuples, at(Seconds(5)));
  EXPECT_EQ(reader.header().omitted, 44U);
  EXPECT_TRUE(reader.find(tuple_of(TW_BLOCK_TUPLES + 44)));
  EXPECT_FALSE(reader.find(tuple_of(1)));
  writer.publish(kHost, {}, at(Seconds(5)));
  EXPECT_EQ(reader.header().omitted, 0U);
}

TEST(ParameterBlock, finds_no_tuple_for_the_empty_key) {
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  writer.publish(kHost, {}, at(Seconds(5)));
  EXPECT_FALSE(reader.find(tw_tuple{}));
}

TEST(ParameterBlock, read_of_a_slot_that_does_not_exist_is_absent) {
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  writer.publish(kHost, {}, at(Seconds(5)));
  tw_record record{};
  EXPECT_EQ(reader.read(Slot{TW_BLOCK_TUPLES}, tuple_of(1), at(Seconds(5)), record), Freshness::kAbsent);
  EXPECT_EQ(reader.read(Slot{SIZE_MAX}, tuple_of(1), at(Seconds(5)), record), Freshness::kAbsent);
}

TEST(ParameterBlock, agrees_with_a_map_after_any_publications) {
  EXPECT_TRUE(rc::check("block = map of the last publication", [] {
    auto writer = writer_of();
    const auto reader = reader_of(writer.descriptor());
    std::map<std::uint32_t, std::size_t> slots;
    const auto rounds = *rc::gen::inRange(1, 12);
    for (int round = 1; round <= rounds; ++round) {
      const auto numbers = *rc::gen::unique<std::vector<std::uint32_t>>(rc::gen::inRange<std::uint32_t>(1, 400));
      std::map<std::uint32_t, tw_record> model;
      std::vector<tw_record> tuples;
      for (const auto number : numbers) {
        tuples.push_back(record_of(tuple_of(number), *rc::gen::arbitrary<std::uint16_t>()));
        if (tuples.size() <= TW_BLOCK_TUPLES) model[number] = tuples.back();
      }
      const auto now = at(Seconds(round));
      writer.publish(record_of({}, static_cast<std::uint64_t>(round)), tuples, now);
      std::map<std::uint32_t, std::size_t> slots_now;
      for (std::uint32_t number = 1; number < 400; ++number) {
        const auto slot = reader.find(tuple_of(number));
        RC_ASSERT(slot.has_value() == model.contains(number));
        if (!slot) continue;
        tw_record record{};
        RC_ASSERT((reader.read(*slot, tuple_of(number), now, record) == Freshness::kLive));
        RC_ASSERT(is_same(record, model[number]));
        const auto earlier = slots.find(number);
        RC_ASSERT((earlier == slots.end() || earlier->second == slot->index));
        slots_now[number] = slot->index;
      }
      slots = slots_now;
    }
  }));
}

TEST(ParameterBlock, refuses_an_interval_that_it_cannot_keep) {
  for (const auto interval : {base::Nanoseconds(0), base::Nanoseconds(-1), base::Nanoseconds(std::chrono::hours(2))}) {
    const auto writer = ParameterBlockWriter::create({.interval = interval});
    ASSERT_FALSE(writer);
    EXPECT_EQ(writer.error().code, base::ErrorCode::kInvalidArgument);
  }
}

TEST(ParameterBlock, cannot_be_changed_through_its_descriptor) {
  auto writer = writer_of();
  const int descriptor = writer.descriptor();
  void* const mapped = mmap(nullptr, sizeof(tw_block), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  EXPECT_EQ(mapped, MAP_FAILED);
  EXPECT_EQ(pwrite(descriptor, "x", 1, 0), -1);
  EXPECT_EQ(ftruncate(descriptor, 0), -1);
  EXPECT_EQ(ftruncate(descriptor, 1 << 20), -1);
  EXPECT_EQ(fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
  void* const read_only = mmap(nullptr, sizeof(tw_block), PROT_READ, MAP_SHARED, descriptor, 0);
  ASSERT_NE(read_only, MAP_FAILED);
  EXPECT_EQ(mprotect(read_only, sizeof(tw_block), PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(madvise(read_only, sizeof(tw_block), MADV_REMOVE), -1);
  munmap(read_only, sizeof(tw_block));
}

}  // namespace
}  // namespace tidewaiter::board
