// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "board/tests/record_samples.h"

namespace tidewaiter::board {
namespace {

constexpr std::uint32_t kTuples = 4;
constexpr std::uint64_t kVersions = 20'000;
constexpr auto kNow = base::Instant(base::Seconds(5));

/// What a thread of readers saw until the writer had finished and every tuple was read once more.
struct Seen {
  std::uint64_t good = 0;
  std::uint64_t mixtures = 0;
  std::uint64_t backwards = 0;
  std::uint64_t wrong_key = 0;
  std::uint64_t last_round = 0;
};

Seen read_until(const ParameterBlockReader& reader, const std::atomic<bool>& is_over) {
  Seen seen;
  std::array<std::int64_t, kTuples + 1> last{};
  bool is_last_round = false;
  while (!is_last_round) {
    is_last_round = is_over;
    for (std::uint32_t n = 1; n <= kTuples; ++n) {
      const auto slot = reader.find(tuple_of(n));
      tw_record record{};
      if (!slot || reader.read(*slot, tuple_of(n), kNow, record) != Freshness::kLive) continue;
      ++seen.good;
      if (!is_whole(record)) ++seen.mixtures;
      if (words_of(record.key) != words_of(tuple_of(n))) ++seen.wrong_key;
      if (record.since_ns < last.at(n)) ++seen.backwards;
      last.at(n) = record.since_ns;
      if (is_last_round) ++seen.last_round;
    }
  }
  return seen;
}

TEST(ConcurrentReads, give_published_versions_in_order_and_never_a_mixture) {
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  std::atomic<bool> is_over = false;
  std::array<Seen, 2> seen;
  std::array<std::thread, 2> readers;
  for (std::size_t i = 0; i < readers.size(); ++i) {
    readers.at(i) = std::thread([&, i] { seen.at(i) = read_until(reader, is_over); });
  }
  for (std::uint64_t version = 1; version <= kVersions; ++version) {
    std::vector<tw_record> tuples;
    for (std::uint32_t n = 1; n <= kTuples; ++n) {
      // Tuples come and go, so that slots change hands under the readers.
      if (version == kVersions || (version + n) % 7 != 0) tuples.push_back(record_of(tuple_of(n), version));
    }
    writer.publish(record_of({}, version), tuples, kNow);
  }
  is_over = true;
  for (auto& thread : readers) thread.join();
  for (const Seen& one : seen) {
    EXPECT_GT(one.good, 0U);
    EXPECT_EQ(one.mixtures, 0U);
    EXPECT_EQ(one.backwards, 0U);
    EXPECT_EQ(one.wrong_key, 0U);
    EXPECT_EQ(one.last_round, kTuples) << "a writer at rest hides nothing";
  }
}

TEST(ConcurrentReads, an_expiry_that_is_seen_vouches_for_the_records) {
  // Each publication is made long after the last one expired: who is told kLive must see its values, not older ones.
  auto writer = writer_of();
  const auto reader = reader_of(writer.descriptor());
  const std::vector first{record_of(tuple_of(1), 0)};
  writer.publish(record_of({}, 0), first, base::Instant(base::Seconds(0)));
  const auto slot = reader.find(tuple_of(1));
  ASSERT_TRUE(slot);
  std::atomic<bool> is_over = false;
  std::thread thread([&] {
    for (std::uint64_t version = 1; version <= kVersions; ++version) {
      const auto now = base::Instant(base::Seconds(10 * version));
      writer.publish(record_of({}, version), std::vector{record_of(tuple_of(1), version)}, now);
    }
    is_over = true;
  });
  std::uint64_t outdated = 0;
  tw_record record{};
  while (!is_over) {
    const std::uint64_t expected = reader.publication();  // of version expected - 1, so of version `expected` next
    const auto now = base::Instant(base::Seconds(10 * expected));
    const auto freshness = reader.read(*slot, tuple_of(1), now, record);
    if (freshness == Freshness::kLive && static_cast<std::uint64_t>(record.since_ns) < expected) ++outdated;
  }
  thread.join();
  EXPECT_EQ(outdated, 0U);
}

}  // namespace
}  // namespace tidewaiter::board
