// SPDX-License-Identifier: Apache-2.0
//
// The agent is killed after every store that it makes while it publishes.
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "board/tests/record_samples.h"

namespace tidewaiter::board {
namespace {

constexpr auto kBefore = base::Instant(base::Seconds(5));
constexpr auto kAfter = base::Instant(base::Seconds(6));
constexpr auto kSoon = base::Instant(base::Milliseconds(6001));
constexpr auto kExpired = kAfter + base::Seconds(3);

/// Header, host and the first slots: all that the two publications touch, and one more.
constexpr std::size_t kSlots = 4;
constexpr std::size_t kTouchedWords = offset_of_tuple(kSlots) / sizeof(std::uint64_t);

// A step costs some 20 us, and a sanitizer's stores are twenty times as many instructions: there, now and then.
#if defined(__SANITIZE_ADDRESS__)
constexpr int kStride = 17;
#elif defined(__has_feature)
constexpr int kStride = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? 17 : 1;
#else
constexpr int kStride = 1;
#endif

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

/// Keeps the calling thread, and children that it makes, on one processor for as long as it lives: a step then needs no
/// other processor to wake up, which is most of its cost.
class OneProcessor {
 public:
  OneProcessor() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<std::size_t>(sched_getcpu()), &here);
    sched_setaffinity(0, sizeof here, &here);
  }
  ~OneProcessor() { sched_setaffinity(0, sizeof before_, &before_); }
  OneProcessor(const OneProcessor&) = delete;
  OneProcessor& operator=(const OneProcessor&) = delete;

 private:
  cpu_set_t before_{};
};

/// A child that publishes kNew one instruction at a time.
class SteppedChild {
 public:
  explicit SteppedChild(ParameterBlockWriter& writer) : pid_(fork()) {
    if (pid_ != 0) return;
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(errno);
    raise(SIGSTOP);
    writer.publish(kNew.host, kNew.tuples, kAfter);
    _exit(0);  // without destructors: the block stays as it is
  }
  ~SteppedChild() {
    if (is_there_) kill_now();
  }
  SteppedChild(const SteppedChild&) = delete;
  SteppedChild& operator=(const SteppedChild&) = delete;

  /// False once the child has ended by itself; `status` then says how.
  bool wait_for_stop(int& status) {
    while (waitpid(pid_, &status, __WALL) < 0) {
      if (errno != EINTR) std::abort();
    }
    is_there_ = WIFSTOPPED(status);
    return is_there_;
  }
  bool step(int& status) { return ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) == 0 && wait_for_stop(status); }
  void kill_now() {
    kill(pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, __WALL) < 0 && errno == EINTR) {
    }
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    is_there_ = false;
  }

 private:
  pid_t pid_;
  bool is_there_ = true;
};

/// A mapping of its own, to see stores as they happen.
class Watch {
 public:
  explicit Watch(int descriptor) : memory_(*BlockMemory::map(descriptor, BlockMemory::Access::kRead)) { remember(); }
  [[nodiscard]] bool has_changed() const { return std::memcmp(before_.data(), memory_.word(0), sizeof before_) != 0; }
  void remember() { std::memcpy(before_.data(), memory_.word(0), sizeof before_); }

 private:
  BlockMemory memory_;
  std::array<std::uint64_t, kTouchedWords> before_{};
};

enum class Ending { kKilled, kFinished, kNotPermitted };

/// Kills the child after its `stores`-th store to the block, unless it makes fewer.
Ending publish_and_kill(ParameterBlockWriter& writer, int stores) {
  Watch watch(writer.descriptor());
  SteppedChild child(writer);
  int status = 0;
  if (!child.wait_for_stop(status)) return Ending::kNotPermitted;
  int seen = 0;
  while (child.step(status)) {
    if (!watch.has_changed()) continue;
    watch.remember();
    if (++seen < stores) continue;
    child.kill_now();
    return Ending::kKilled;
  }
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return Ending::kFinished;
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
