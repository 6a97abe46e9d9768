// SPDX-License-Identifier: Apache-2.0
//
// The agent is killed after every store that it makes while it publishes.
#include <optional>
#include <vector>

#include "board/block_layout.h"
#include "board/tests/record_samples.h"
#include "board/tests/stepped_child.h"

namespace tidewaiter::board {
namespace {

constexpr auto kBefore = base::Instant(base::Seconds(5));
constexpr auto kAfter = base::Instant(base::Seconds(6));
constexpr auto kSoon = base::Instant(base::Milliseconds(6001));
constexpr auto kExpired = kAfter + base::Seconds(3);

/// Header, host and the first slots: all that the two publications touch, and one more.
constexpr std::size_t kSlots = 4;
constexpr std::size_t kTouchedBytes = offset_of_tuple(kSlots);

struct Publication {
  tw_record host;
  std::vector<tw_record> tuples;

  [[nodiscard]] std::optional<tw_record> of(const tw_tuple& key) const {
    for (const tw_record& tuple : tuples) {
      if (words_of(tuple.key) == words_of(key)) return tuple;
    }
    return std::nullopt;
  }
};

/// One tuple stays as it is, one changes, one goes, and one comes and takes its slot.
const Publication kOld{record_of({}, 3),
                       {record_of(tuple_of(1), 100), record_of(tuple_of(2), 200), record_of(tuple_of(3), 300)}};
const Publication kNew{record_of({}, 4),
                       {record_of(tuple_of(1), 100), record_of(tuple_of(2), 201), record_of(tuple_of(4), 400)}};

/// Kills a child that publishes kNew after its `stores`-th store to the block, unless it makes fewer.
Ending publish_and_kill(ParameterBlockWriter& writer, int stores) {
  const auto memory = *SharedMemory::map(writer.descriptor(), sizeof(tw_block), SharedMemory::Access::kRead);
  return work_and_kill([] {}, [&] { writer.publish(kNew.host, kNew.tuples, kAfter); },
                       Watch(memory.word(0), kTouchedBytes), stores);
}

/// What a reader that attached before the crash is told about one record.
class Verdicts {
 public:
  explicit Verdicts(const ParameterBlockReader& reader) : reader_(reader) {}

  void check_host() {
    tw_record record = kOld.host;
    const auto freshness = reader_.host(kSoon, record);
    check(freshness, record, kOld.host, kNew.host);
    EXPECT_NE(reader_.host(kExpired, record), Freshness::kLive);
  }

  /// Everywhere it could be: a crash must not show a tuple in two slots with different values either.
  void check_tuple(const tw_tuple& key) {
    const auto old_values = kOld.of(key);
    const auto new_values = kNew.of(key);
    int found = 0;
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      tw_record record = old_values.value_or(tw_record{});
      const auto freshness = reader_.read(Slot{slot}, key, kSoon, record);
      if (freshness != Freshness::kAbsent) check(freshness, record, old_values, new_values);
      if (freshness == Freshness::kLive) ++found;
      const auto later = reader_.read(Slot{slot}, key, kExpired, record);
      EXPECT_NE(later, Freshness::kLive);
    }
    EXPECT_LE(found, 1);
  }

  /// Records that are the new ones; and records that could not be read.
  int renewed = 0;
  int unreadable = 0;

 private:
  void check(Freshness freshness, const tw_record& record, const std::optional<tw_record>& old_values,
             const std::optional<tw_record>& new_values) {
    const bool is_old = old_values && is_same(record, *old_values);
    const bool is_new = new_values && is_same(record, *new_values);
    if (freshness == Freshness::kUnreadable) {
      ++unreadable;
      EXPECT_TRUE(is_old || is_same(record, tw_record{})) << "left as it was";
      return;
    }
    EXPECT_EQ(freshness, Freshness::kLive) << "the old publication still holds";
    EXPECT_TRUE(is_old || is_new) << "a mixture";
    if (is_new && !is_old) ++renewed;
  }

  const ParameterBlockReader& reader_;
};

TEST(KilledWriter, leaves_each_record_old_or_new_or_unreadable_after_any_store) {
  const OneProcessor one;
  int unreadable = 0;
  int kills = 0;
  for (int stores = 1;; stores += kStride) {
    SCOPED_TRACE(stores);
    auto writer = writer_of();
    writer.publish(kOld.host, kOld.tuples, kBefore);
    const auto reader = reader_of(writer.descriptor());
    const Ending ending = publish_and_kill(writer, stores);
    if (ending == Ending::kNotPermitted) GTEST_SKIP() << "ptrace is not permitted here";
    Verdicts verdicts(reader);
    verdicts.check_host();
    for (std::uint32_t n = 1; n <= 4; ++n) verdicts.check_tuple(tuple_of(n));
    unreadable += verdicts.unreadable > 0;
    const bool is_vouched_for = reader.header().expiry_ns == kExpired.time_since_epoch().count();
    EXPECT_TRUE(!is_vouched_for || verdicts.renewed == 3) << "the expiry comes after all that it vouches for";
    if (HasFailure()) FAIL();
    if (ending == Ending::kFinished) {
      EXPECT_TRUE(is_vouched_for);
      break;
    }
    ++kills;
  }
  RecordProperty("kills", kills);
  RecordProperty("with_an_unreadable_record", unreadable);
  EXPECT_GT(kills, 60 / kStride);
  EXPECT_GT(unreadable, 40 / kStride) << "deaths inside a record were among them";
}

}  // namespace
}  // namespace tidewaiter::board
