// SPDX-License-Identifier: Apache-2.0
#include "board/event_collector.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "board/process_identity.h"
#include "board/tests/event_samples.h"
#include "board/tests/socket_samples.h"
#include "board/unix_address.h"

namespace tidewaiter::board {
namespace {

constexpr uid_t kNobody = 65534;
constexpr int kPatienceMs = 5'000;

bool is_readable(int descriptor, int timeout_ms = 0) {
  pollfd wanted{descriptor, POLLIN, 0};
  return poll(&wanted, 1, timeout_ms) == 1;
}

struct Arrival {
  Producer producer;
  std::uint64_t id;
};

/// A collector that the test drains itself; opening a ring takes another thread, since it waits for the answer.
class Collected : public testing::Test {
 protected:
  void SetUp() override { start({}); }

  void start(EventCollector::Options options) {
    collector_.reset();
    options.path = directory_.socket();
    auto collector = EventCollector::listen(options);
    ASSERT_TRUE(collector) << collector.error().message();
    collector_ = std::make_unique<EventCollector>(std::move(*collector));
  }

  void drain() {
    collector_->drain(kDrained, [this](const Producer& producer, const tw_event& event) {
      EXPECT_TRUE(is_whole(event));
      arrivals_.push_back({producer, event.id});
    });
  }

  template <class Condition>
  bool drain_until(Condition condition) {
    while (!condition()) {
      if (!is_readable(collector_->descriptor(), kPatienceMs)) return false;
      drain();
    }
    return true;
  }

  /// What tw_events_open says while the collector serves.
  int try_open(Events& events) {
    std::atomic<bool> is_over = false;
    int failed = 0;
    std::thread client([&] {
      tw_events* opened = nullptr;
      failed = tw_events_open(directory_.socket().c_str(), &opened);
      events.reset(opened);
      is_over = true;
    });
    while (!is_over) {
      if (is_readable(collector_->descriptor(), 1)) drain();
    }
    client.join();
    return failed;
  }
  Events open() {
    Events events;
    EXPECT_EQ(try_open(events), 0);
    return events;
  }

  [[nodiscard]] std::vector<std::uint64_t> ids() const {
    std::vector<std::uint64_t> result;
    for (const Arrival& arrival : arrivals_) result.push_back(arrival.id);
    return result;
  }

  Directory directory_;
  std::unique_ptr<EventCollector> collector_;
  std::vector<Arrival> arrivals_;
};

TEST_F(Collected, events_come_with_their_producer) {
  const Events first = open();
  const Events second = open();
  ASSERT_TRUE(record(first, 1) && record(second, 2) && record(first, 3));
  drain();
  EXPECT_THAT(ids(), testing::UnorderedElementsAre(1, 2, 3));
  struct stat status {};
  ASSERT_EQ(stat("/proc/self/ns/net", &status), 0);
  for (const Arrival& arrival : arrivals_) {
    EXPECT_EQ(arrival.producer.pid, getpid());
    EXPECT_EQ(arrival.producer.uid, geteuid());
    EXPECT_EQ(arrival.producer.process, static_cast<std::uint64_t>(getpid())) << "both rings are of one process";
    EXPECT_EQ(arrival.producer.network_namespace, status.st_ino);
  }
  EXPECT_EQ(collector_->rings(), 2U);
  EXPECT_EQ(collector_->counters().rings, 2U);
  EXPECT_EQ(collector_->counters().counts, (EventRing::Counts{.events = 3}));
}

TEST_F(Collected, what_a_program_recorded_before_its_end_arrives) {
  const pid_t child = fork();
  if (child == 0) {
    tw_events* events = nullptr;
    if (tw_events_open(directory_.socket().c_str(), &events) != 0) _exit(1);
    for (std::uint64_t n = 0; n < 100; ++n) {
      const tw_event event = event_of(n);
      tw_events_record(events, &event);
    }
    raise(SIGKILL);
  }
  ASSERT_TRUE(drain_until([&] { return collector_->counters().rings == 1 && collector_->rings() == 0; }));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(ids().size(), 100U);
  EXPECT_EQ(ids().back(), 99U);
  for (const Arrival& arrival : arrivals_) EXPECT_EQ(arrival.producer.pid, child);
}

TEST_F(Collected, dropped_events_are_counted_for_ever) {
  start({.ring_events = 64});
  {
    const Events events = open();
    for (std::uint64_t n = 0; n < 70; ++n) record(events, n);
  }
  ASSERT_TRUE(drain_until([&] { return collector_->rings() == 0; }));
  EXPECT_EQ(collector_->counters().counts, (EventRing::Counts{.events = 64, .dropped = 6}));
  const Events events = open();
  record(events, 1);
  drain();
  EXPECT_EQ(collector_->counters().counts, (EventRing::Counts{.events = 65, .dropped = 6}));
}

TEST_F(Collected, room_is_rounded_up_to_a_power_of_two) {
  start({.ring_events = 65});
  const Events events = open();
  for (std::uint64_t n = 0; n < 128; ++n) EXPECT_TRUE(record(events, n));
  EXPECT_FALSE(record(events, 128));
}

TEST_F(Collected, clients_beyond_the_limit_are_told_so) {
  start({.max_rings = 1});
  Events first = open();
  Events second;
  EXPECT_EQ(try_open(second), -ENOSPC);
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(collector_->counters().refused, 1U);
  first.reset();
  ASSERT_TRUE(drain_until([&] { return collector_->rings() == 0; }));
  EXPECT_EQ(try_open(second), 0) << "a place that was left is given anew";
  EXPECT_EQ(collector_->counters().rings, 2U);
  EXPECT_EQ(collector_->counters().failed, 0U);
}

TEST_F(Collected, has_nothing_to_do_without_producers_and_drains_at_its_interval_with_some) {
  EXPECT_FALSE(is_readable(collector_->descriptor()));
  drain();
  EXPECT_FALSE(is_readable(collector_->descriptor()));
  start({.drain_interval = base::Milliseconds(1)});
  Events events = open();
  ASSERT_TRUE(record(events, 1));
  ASSERT_TRUE(drain_until([&] { return arrivals_.size() == 1; }));
  ASSERT_TRUE(record(events, 2));
  ASSERT_TRUE(drain_until([&] { return arrivals_.size() == 2; })) << "and again";
  events.reset();
  ASSERT_TRUE(drain_until([&] { return collector_->rings() == 0; }));
  EXPECT_FALSE(is_readable(collector_->descriptor(), 20)) << "the interval ends with the last producer";
}

TEST_F(Collected, client_that_talks_costs_nothing) {
  start({.drain_interval = base::Seconds(60)});
  const Events events = open();
  EXPECT_EQ(::send(tw_events_connection(events.get()), "x", 1, MSG_NOSIGNAL), 1);
  EXPECT_FALSE(is_readable(collector_->descriptor()));
}

TEST_F(Collected, without_free_descriptors_it_turns_clients_away_and_goes_on) {
  const auto connect_only = [this] {
    base::FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto address = UnixAddress::of(directory_.socket());
    EXPECT_EQ(::connect(socket.get(), address->get(), UnixAddress::size()), 0);
    return socket;
  };
  // Enough for one connection, not for the memory of a ring.
  for (const int left : {0, 1}) {
    const base::FileDescriptor client = connect_only();
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    const rlimit few{100, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    std::vector<base::FileDescriptor> all;
    for (int taken = dup(client.get()); taken >= 0; taken = dup(client.get())) all.emplace_back(taken);
    all.resize(all.size() - static_cast<std::size_t>(left));
    drain();
    all.clear();
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_EQ(collector_->counters().failed, static_cast<std::uint64_t>(left + 1));
    EXPECT_EQ(collector_->rings(), 0U);
    EXPECT_FALSE(is_readable(collector_->descriptor())) << "it does not spin";
  }
  EXPECT_NE(open(), nullptr);
}

TEST_F(Collected, producers_learn_of_the_end_of_the_agent_and_may_go_on_recording) {
  const Events events = open();
  pollfd wanted{tw_events_connection(events.get()), POLLIN, 0};
  EXPECT_EQ(poll(&wanted, 1, 0), 0);
  collector_.reset();
  EXPECT_EQ(poll(&wanted, 1, kPatienceMs), 1);
  EXPECT_NE(wanted.revents & POLLHUP, 0);
  EXPECT_TRUE(record(events, 1)) << "nobody reads it";
  EXPECT_FALSE(std::filesystem::exists(directory_.socket()));
  Events other;
  tw_events* none = nullptr;
  EXPECT_EQ(tw_events_open(directory_.socket().c_str(), &none), -ENOENT);
}

TEST_F(Collected, who_may_record_is_the_mode_of_the_path) {
  const auto mode = [this](EventCollector::Producers producers) {
    start({.producers = producers});
    struct stat status {};
    EXPECT_EQ(stat(directory_.socket().c_str(), &status), 0);
    return status.st_mode & 07777U;
  };
  EXPECT_EQ(mode(EventCollector::Producers::kEverybody), 0666U);
  EXPECT_EQ(mode(EventCollector::Producers::kGroup), 0660U);
  EXPECT_EQ(mode(EventCollector::Producers::kOwner), 0600U);
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  const int failed = in_child([this] {
    if (setuid(kNobody) != 0) return 1;
    tw_events* events = nullptr;
    return -tw_events_open(directory_.socket().c_str(), &events);
  });
  EXPECT_EQ(failed, EACCES);
}

TEST_F(Collected, settings_say_what_is_allowed) {
  EventCollector::Options options;
  const auto settings = EventCollector::settings_of(options);
  EXPECT_TRUE(
      base::apply_toml("[board]\nmax_event_rings = 7\nevent_ring_events = 100\nevent_drain_interval = \"20ms\"\n"
                       "event_producers = \"group\"",
                       "test.toml", settings));
  EXPECT_EQ(options.max_rings, 7U);
  EXPECT_EQ(options.ring_events, 100U);
  EXPECT_EQ(options.drain_interval, base::Milliseconds(20));
  EXPECT_EQ(options.producers, EventCollector::Producers::kGroup);
  EXPECT_FALSE(base::apply_toml("board.event_ring_events = 10", "test.toml", settings));
}

TEST_F(Collected, examples_record_what_they_say) {
  for (const char* program : {TIDEWAITER_EXAMPLES}) {
    SCOPED_TRACE(program);
    const std::uint64_t before = collector_->counters().counts.events;
    const std::uint64_t rings = collector_->counters().rings;
    const pid_t child = fork();
    if (child == 0) {
      const base::FileDescriptor null(::open("/dev/null", O_WRONLY));
      dup2(null.get(), STDOUT_FILENO);
      execl(program, program, directory_.socket().c_str(), "50", "10", nullptr);
      _exit(127);
    }
    std::map<std::uint64_t, std::vector<int>> kinds;
    const base::Instant now(base::Nanoseconds(tw_events_now()) + base::Seconds(60));
    while (collector_->counters().rings == rings || collector_->rings() > 0) {
      ASSERT_TRUE(is_readable(collector_->descriptor(), kPatienceMs));
      collector_->drain(now, [&](const Producer& producer, const tw_event& event) {
        EXPECT_EQ(producer.pid, child);
        EXPECT_EQ(event.port, 9000);
        kinds[event.id].push_back(event.kind);
      });
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_EQ(collector_->counters().counts.events - before, 200U);
    EXPECT_EQ(kinds.size(), 50U);
    for (const auto& [id, of_child] : kinds) {
      EXPECT_THAT(of_child,
                  testing::ElementsAre(TW_EVENT_DECISION, TW_EVENT_SEND_ATTEMPT, TW_EVENT_SENT, TW_EVENT_FILL));
    }
  }
}

/// An agent that says what a test wants.
class OddAgent {
 public:
  explicit OddAgent(const std::string& path) : path_(path), listener_(*UnixListener::listen(path, 0666)) {}

  int answer(const void* bytes, std::size_t size, int descriptor) {
    int failed = 0;
    std::thread client([&] {
      tw_events* events = nullptr;
      failed = tw_events_open(path_.c_str(), &events);
      EXPECT_EQ(events == nullptr, failed != 0);
      tw_events_close(events);
    });
    EXPECT_TRUE(is_readable(listener_.descriptor(), kPatienceMs));
    listener_.accept_some([&](base::FileDescriptor connection) {
      if (size > 0) {
        EXPECT_TRUE(send_message(connection.get(), bytes, size, descriptor));
      }
    });
    client.join();
    return failed;
  }

 private:
  std::string path_;
  UnixListener listener_;
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

TEST(OpenEvents, refuses_a_hello_that_is_not_one) {
  const Directory directory;
  OddAgent agent(directory.socket());
  const EventRing ring = ring_of({});
  const std::size_t before = open_descriptors();
  const auto answer = [&](tw_events_hello hello, int descriptor) {
    return agent.answer(&hello, sizeof hello, descriptor);
  };
  const tw_events_hello good{.magic = TW_EVENT_RING_MAGIC, .error = 0, .reserved = 0};
  tw_events_hello refusal = good;
  refusal.error = ENOMEM;
  tw_events_hello nonsense = good;
  nonsense.error = -5;
  tw_events_hello foreign = good;
  foreign.magic = 1;
  EXPECT_EQ(answer(good, ring.descriptor()), 0);
  EXPECT_EQ(answer(good, -1), -EPROTO);
  EXPECT_EQ(answer(good, STDIN_FILENO), -EPROTO);
  EXPECT_EQ(answer(refusal, -1), -ENOMEM);
  EXPECT_EQ(answer(refusal, ring.descriptor()), -ENOMEM);
  EXPECT_EQ(answer(nonsense, ring.descriptor()), -EPROTO);
  EXPECT_EQ(answer(foreign, ring.descriptor()), -EPROTO);
  EXPECT_EQ(agent.answer("x", 1, ring.descriptor()), -EPROTO);
  EXPECT_EQ(agent.answer("", 0, -1), -EAGAIN) << "it hung up";
  EXPECT_EQ(open_descriptors(), before) << "no descriptor leaks";
}

TEST(OpenEvents, says_when_there_is_no_agent_or_a_silent_one) {
  const Directory directory;
  tw_events* events = nullptr;
  EXPECT_EQ(tw_events_open(directory.socket().c_str(), &events), -ENOENT);
  EXPECT_EQ(tw_events_open(std::string(200, 'x').c_str(), &events), -ENAMETOOLONG);
  const auto listener = UnixListener::listen(directory.socket(), 0666);
  ASSERT_TRUE(listener);
  EXPECT_EQ(tw_events_open(directory.socket().c_str(), &events), -EAGAIN) << "after a second";
}

TEST(OpenEvents, believes_a_foreign_user_only_where_the_socket_is_his) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  const Directory directory;
  // The path is root's, who alone may write there; the listener is nobody's.
  const base::FileDescriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const auto address = UnixAddress::of(directory.socket());
  ASSERT_EQ(::bind(listener.get(), address->get(), UnixAddress::size()), 0);
  ASSERT_EQ(seteuid(kNobody), 0);
  const int listening = ::listen(listener.get(), 8);
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_EQ(listening, 0);
  tw_events* events = nullptr;
  EXPECT_EQ(tw_events_open(directory.socket().c_str(), &events), -EACCES);
  ASSERT_EQ(chown(directory.socket().c_str(), kNobody, kNobody), 0);
  EXPECT_EQ(tw_events_open(directory.socket().c_str(), &events), -EAGAIN) << "believed, but it says nothing";
}

TEST(OpenEvents, refuses_an_agent_of_another_time_namespace) {
  const Directory directory;
  auto collector = EventCollector::listen({.path = directory.socket()});
  ASSERT_TRUE(collector);
  std::atomic<bool> is_over = false;
  std::thread agent([&] {
    while (!is_over) {
      if (is_readable(collector->descriptor(), 1)) collector->drain(kDrained, [](const Producer&, const tw_event&) {});
    }
  });
  const int outcome = in_child([&] {
    if (unshare(CLONE_NEWTIME) != 0) return 77;
    return in_child([&] {  // only children of the caller are in the new one
      tw_events* events = nullptr;
      return -tw_events_open(directory.socket().c_str(), &events);
    });
  });
  is_over = true;
  agent.join();
  if (outcome == 77) GTEST_SKIP() << "a time namespace needs root and Linux 5.6";
  EXPECT_EQ(outcome, EXDEV);
}

}  // namespace
}  // namespace tidewaiter::board
