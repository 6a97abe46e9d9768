// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/question.h"
#include "board/parameter_block_reader.h"
#include "board/parameter_block_writer.h"

namespace tidewaiter::bench {
namespace {

constexpr base::Instant kNow{std::chrono::hours(1)};
constexpr int kReads = 1000;  // in one call of the timed function
constexpr double kBarNs = 20;

board::Slot slot_of(const board::ParameterBlockReader& reader, const tw_tuple& key) {
  return reader.find(key).value_or(board::Slot{TW_BLOCK_TUPLES});
}

tw_record record_of(std::uint16_t port, std::uint64_t version) {
  tw_record record{};
  record.key.netns_hash = tw_netns_hash("self");
  record.key.port = port;
  record.since_ns = static_cast<std::int64_t>(version);
  record.enforced.clip_scale = static_cast<double>(version);
  return record;
}

/// What one would write first: the same records under a lock. Within one process, so it has no block to map.
class Locked {
 public:
  explicit Locked(std::vector<tw_record> records) : records_(std::move(records)) {}

  void store(const std::vector<tw_record>& records) {
    const std::lock_guard lock(mutex_);
    records_ = records;
  }
  void load(std::size_t index, tw_record& record) {
    const std::lock_guard lock(mutex_);
    record = records_[index];
  }

 private:
  std::mutex mutex_;
  std::vector<tw_record> records_;
};

/// 256 tuples, published; the same under a lock.
class Stage {
 public:
  [[nodiscard]] static base::Result<std::unique_ptr<Stage>> build() {
    auto writer = board::ParameterBlockWriter::create({});
    if (!writer) return tl::unexpected(writer.error());
    auto reader = board::ParameterBlockReader::open(base::FileDescriptor(dup(writer->descriptor())));
    if (!reader) return tl::unexpected(reader.error());
    return std::unique_ptr<Stage>(new Stage(std::move(*writer), std::move(*reader)));
  }

  /// `tuples`: how many are read in turn.
  [[nodiscard]] Repeated reading(std::size_t tuples) {
    return Repeated(
        [this, tuples] {
          for (std::size_t i = 0; i < kReads; ++i) {
            const std::size_t at = i % tuples;
            keep(reader_.read(slots_[at], records_[at].key, kNow, copy_));
            keep(copy_);
          }
        },
        kReads);
  }
  [[nodiscard]] Repeated copying(std::size_t tuples) {
    return Repeated(
        [this, tuples] {
          for (std::size_t i = 0; i < kReads; ++i) {
            std::memcpy(&copy_, &records_[i % tuples], sizeof copy_);
            keep(copy_);
          }
        },
        kReads);
  }
  [[nodiscard]] Repeated locking(std::size_t tuples) {
    return Repeated(
        [this, tuples] {
          for (std::size_t i = 0; i < kReads; ++i) {
            locked_.load(i % tuples, copy_);
            keep(copy_);
          }
        },
        kReads);
  }
  [[nodiscard]] Repeated finding() {
    return Repeated([this] { keep(slot_of(reader_, records_.back().key)); }, 1);
  }

  /// Publishes every record anew 1000 times a second, to the block and under the lock, while it lives.
  class Busy {
   public:
    explicit Busy(Stage& stage) : thread_([this, &stage] { publish(stage); }) {}
    ~Busy() {
      is_over_ = true;
      thread_.join();
    }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

   private:
    void publish(Stage& stage) {
      std::vector<tw_record> records = stage.records_;
      auto next = std::chrono::steady_clock::now();
      for (std::uint64_t version = 1; !is_over_; ++version) {
        for (tw_record& record : records) record = record_of(record.key.port, version);
        stage.writer_.publish({}, records, kNow);
        stage.locked_.store(records);
        std::this_thread::sleep_until(next += base::Milliseconds(1));
      }
    }

    std::atomic<bool> is_over_ = false;
    std::thread thread_;
  };

 private:
  Stage(board::ParameterBlockWriter writer, board::ParameterBlockReader reader)
      : writer_(std::move(writer)), reader_(std::move(reader)), records_(some_records()), locked_(records_) {
    writer_.publish({}, records_, kNow);
    for (const tw_record& record : records_) slots_.push_back(slot_of(reader_, record.key));
  }

  static std::vector<tw_record> some_records() {
    std::vector<tw_record> records;
    for (std::uint16_t port = 1; port <= TW_BLOCK_TUPLES; ++port) records.push_back(record_of(port, 0));
    return records;
  }

  board::ParameterBlockWriter writer_;
  board::ParameterBlockReader reader_;
  std::vector<tw_record> records_;
  Locked locked_;
  std::vector<board::Slot> slots_;
  tw_record copy_{};
};

class BoardRead final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "board"; }
  [[nodiscard]] std::string summary() const override { return "What does it cost to read the parameters of a tuple?"; }

  void answer(const Conditions& conditions, Report& report) override {
    const auto stage = Stage::build();
    if (!stage) return report.skip(name(), stage.error());
    ask("one tuple", 1, **stage, conditions, report);
    ask("256 tuples in turn", TW_BLOCK_TUPLES, **stage, conditions, report);
    {
      const Stage::Busy busy(**stage);
      ask("one tuple, 1000 publications/s", 1, **stage, conditions, report);
    }
    Row find = row_of("board: find the last of 256 tuples; beside one read", "ns",
                      compare(conditions.pairs(), (*stage)->finding(), (*stage)->reading(1)));
    find.note = "once per tuple and new publication, not per order";
    report.add(find);
  }

 private:
  static void ask(const std::string& what, std::size_t tuples, Stage& stage, const Conditions& conditions,
                  Report& report) {
    Row floor = row_of("board: read, " + what + "; beside a memcpy", "ns",
                       compare(conditions.pairs(), stage.reading(tuples), stage.copying(tuples)));
    floor.bar = Bar{kBarNs, Bar::On::kOurs};
    floor.note = "216 bytes with key, freshness and range checks; `now` is given; the reference checks nothing";
    report.add(floor);
    Row locked = row_of("board: read, " + what + "; beside a copy under a mutex", "ns",
                        compare(conditions.pairs(), stage.reading(tuples), stage.locking(tuples)));
    locked.note = "the mutex is one process's own, which no other process could share safely";
    report.add(locked);
  }
};

const Registration kRegistration([] { return std::make_unique<BoardRead>(); });

}  // namespace
}  // namespace tidewaiter::bench
