// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <tidewaiter/events.h>
#include <vector>

#include "agent/produced_events.h"
#include "base/stopwatch.h"
#include "bench/question.h"
#include "board/event_ring.h"
#include "telemetry/order_events.h"

namespace tidewaiter::bench {
namespace {

constexpr std::uint32_t kCapacity = 4096;
constexpr int kEvents = 1000;  // in one call of the timed function
constexpr double kBarNs = 15;
constexpr double kBarWithClockNs = 35;
constexpr base::Instant kNow{std::chrono::hours(1)};

tw_event some_event() {
  tw_event event{};
  event.kind = TW_EVENT_SEND_ATTEMPT;
  event.time_ns = 1;
  event.port = 9000;
  return event;
}

/// The least that keeps 64 bytes: an array, written round and round, that nobody else can read.
class PlainRing {
 public:
  void record(const tw_event& event) { std::memcpy(&events_[next_++ % kCapacity], &event, sizeof event); }

 private:
  std::vector<tw_event> events_{kCapacity};
  std::uint64_t next_ = 0;
};

/// What one would write first, within one process.
class LockedQueue {
 public:
  void record(const tw_event& event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  std::size_t take() {
    std::deque<tw_event> taken;
    const std::lock_guard lock(mutex_);
    taken.swap(events_);
    return taken.size();
  }
  bool is_empty() {
    const std::lock_guard lock(mutex_);
    return events_.empty();
  }

 private:
  std::mutex mutex_;
  std::deque<tw_event> events_;
};

/// A ring with both ends.
class Stage {
 public:
  [[nodiscard]] static base::Result<std::unique_ptr<Stage>> build() {
    auto ring = board::EventRing::create({.capacity = kCapacity});
    if (!ring) return tl::unexpected(ring.error());
    tw_events* events = nullptr;
    if (const int failed = tw_events_attach(ring->descriptor(), &events); failed != 0) {
      return base::fail_errno(-failed, "attach to an event ring");
    }
    return std::unique_ptr<Stage>(new Stage(std::move(*ring), events));
  }
  ~Stage() { tw_events_close(events_); }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  void record(const tw_event& event) { tw_events_record(events_, &event); }

  /// As if the agent had read everything.
  void skip() { __atomic_store_n(&events_->ring->tail, events_->head, __ATOMIC_RELEASE); }

  std::size_t take() {
    return ring_.drain(kNow, [](const tw_event& event) { keep(event); }).events;
  }
  void take_into(telemetry::OrderEvents& orders) {
    ring_.drain(kNow, [&](const tw_event& event) {
      if (const auto order = agent::order_event_of({}, event)) orders.add(*order);
    });
    orders.settle();
  }
  [[nodiscard]] bool is_empty() const {
    return __atomic_load_n(&events_->ring->tail, __ATOMIC_ACQUIRE) == events_->head;
  }

 private:
  Stage(board::EventRing ring, tw_events* events) : ring_(std::move(ring)), events_(events) {}
  board::EventRing ring_;
  tw_events* events_;
};

/// Nanoseconds per event, recorded in bursts while another thread takes them away; it is waited for between bursts.
template <class Queue>
class WhileTaken {
 public:
  explicit WhileTaken(Queue& queue) : queue_(queue) {}

  double operator()() {
    std::atomic<bool> is_over = false;
    std::thread reader([&] {
      while (!is_over) {
        if (queue_.take() == 0) std::this_thread::yield();
      }
    });
    tw_event event = some_event();
    base::Nanoseconds spent{0};
    for (int burst = 0; burst < kBursts; ++burst) {
      const base::Stopwatch stopwatch;
      for (int i = 0; i < kEvents; ++i) {
        ++event.id;
        queue_.record(event);
      }
      spent += stopwatch.elapsed();
      while (!queue_.is_empty()) std::this_thread::yield();
    }
    is_over = true;
    reader.join();
    return static_cast<double>(spent.count()) / (kBursts * kEvents);
  }

 private:
  static constexpr int kBursts = 500;
  Queue& queue_;
};

/// Calls record(event) a thousand times, then `after`.
template <class Record, class After>
Repeated recording(Record record, After after) {
  return Repeated(
      [record, after, event = some_event()]() mutable {
        for (int i = 0; i < kEvents; ++i) {
          ++event.id;
          record(event);
        }
        after();
      },
      kEvents);
}

class EventRecord final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "events"; }
  [[nodiscard]] std::string summary() const override { return "What does it cost a program to record an event?"; }

  void answer(const Conditions& conditions, Report& report) override {
    const auto built = Stage::build();
    if (!built) return report.skip(name(), built.error());
    ask_of_program(**built, conditions, report);
    ask_of_agent(**built, conditions, report);
  }

 private:
  static void ask_of_program(Stage& stage, const Conditions& conditions, Report& report) {
    PlainRing plain;
    const auto nothing = [] {};
    const auto skip = [&] { stage.skip(); };
    const auto copy = [&](const tw_event& event) {
      plain.record(event);
      keep(plain);
    };
    const auto timed = [](auto record) {
      return [record](tw_event& event) {
        event.time_ns = tw_events_now();
        record(event);
      };
    };
    const auto record = [&](const tw_event& event) { stage.record(event); };

    Row given = row_of("events: record, time passed in; beside a memcpy into an array", "ns",
                       compare(conditions.pairs(), recording(record, skip), recording(copy, nothing)));
    given.bar = Bar{kBarNs, Bar::On::kOurs};
    given.note = "64 bytes, committed for another process; the ring is emptied every 1000";
    report.add(given);

    Row clock = row_of("events: record, reading the clock; beside the same and a memcpy", "ns",
                       compare(conditions.pairs(), recording(timed(record), skip), recording(timed(copy), nothing)));
    clock.bar = Bar{kBarWithClockNs, Bar::On::kOurs};
    report.add(clock);

    Row full = row_of("events: record into a full ring; beside a memcpy into an array", "ns",
                      compare(conditions.pairs(), recording(record, nothing), recording(copy, nothing)));
    full.note = "dropped and counted, as when the agent is gone";
    report.add(full);
    stage.skip();

    LockedQueue locked;
    Row taken = row_of("events: record while another thread drains; beside a deque under a mutex", "ns",
                       compare(conditions.pairs(), WhileTaken(stage), WhileTaken(locked)));
    taken.note = "in bursts of 1000; the mutex is one process's own, which no other process could share safely";
    report.add(taken);
  }

  /// A child's two events, from the ring into DSD95.
  static void ask_of_agent(Stage& stage, const Conditions& conditions, Report& report) {
    telemetry::OrderEvents orders({});
    tw_event event = some_event();
    const auto fill = [&] {
      for (int i = 0; i < kEvents; ++i) {
        event.kind = i % 2 == 0 ? TW_EVENT_DECISION : TW_EVENT_SEND_ATTEMPT;
        event.id += i % 2 == 0 ? 1 : 0;
        stage.record(event);
      }
    };
    const auto joining = Repeated(
        [&] {
          fill();
          stage.take_into(orders);
        },
        kEvents);
    const auto draining = Repeated(
        [&] {
          fill();
          static_cast<void>(stage.take());
        },
        kEvents);
    Row row = row_of("events: drain and join, per event; beside draining alone", "ns",
                     compare(conditions.pairs(), joining, draining));
    row.note = "the agent's side; recording included in both";
    report.add(row);
  }
};

const Registration kRegistration([] { return std::make_unique<EventRecord>(); });

}  // namespace
}  // namespace tidewaiter::bench
