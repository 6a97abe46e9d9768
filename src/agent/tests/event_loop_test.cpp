// SPDX-License-Identifier: Apache-2.0
#include "agent/event_loop.h"

#include <chrono>
#include <csignal>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <thread>

namespace tidewaiter::agent {
namespace {

using Event = EventLoop::Event;

base::Instant now() { return base::Instant(std::chrono::steady_clock::now()); }

class EventLoopTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pthread_sigmask(SIG_BLOCK, nullptr, &before_);
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop) << loop.error().message();
    loop_.emplace(std::move(*loop));
  }
  void TearDown() override { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  sigset_t before_{};
  std::optional<EventLoop> loop_;
};

TEST_F(EventLoopTest, wakes_at_the_time_and_not_before) {
  const base::Instant until = now() + base::Milliseconds(5);
  EXPECT_EQ(loop_->wait(until, now()), Event::kTime);
  EXPECT_GE(now(), until);
}

TEST_F(EventLoopTest, time_that_has_passed_is_now) { EXPECT_EQ(loop_->wait(base::Instant{}, now()), Event::kTime); }

TEST_F(EventLoopTest, both_signals_are_a_stop) {
  for (const int signal : {SIGINT, SIGTERM}) {
    pthread_kill(pthread_self(), signal);
    EXPECT_EQ(loop_->wait(now() + base::Seconds(60), now()), Event::kStop);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    int taken = 0;
    sigwait(&set, &taken);  // the loop leaves it pending: no window comes after it
  }
}

TEST_F(EventLoopTest, another_thread_stops_it) {
  std::thread other([&] { loop_->stop(); });
  EXPECT_EQ(loop_->wait(now() + base::Seconds(60), now()), Event::kStop);
  other.join();
}

TEST_F(EventLoopTest, descriptor_wakes_it_until_it_is_read) {
  const base::FileDescriptor event(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  ASSERT_TRUE(loop_->watch(event.get()));
  EXPECT_EQ(loop_->wait(now() + base::Seconds(60), now()), Event::kReadable);
  EXPECT_EQ(loop_->wait(now() + base::Seconds(60), now()), Event::kReadable);
  eventfd_t count = 0;
  eventfd_read(event.get(), &count);
  EXPECT_EQ(loop_->wait(now(), now()), Event::kTime);
}

TEST_F(EventLoopTest, stop_comes_before_all_else) {
  const base::FileDescriptor event(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  ASSERT_TRUE(loop_->watch(event.get()));
  loop_->stop();
  EXPECT_EQ(loop_->wait(base::Instant{}, now()), Event::kStop);
}

}  // namespace
}  // namespace tidewaiter::agent
