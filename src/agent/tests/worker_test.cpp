// SPDX-License-Identifier: Apache-2.0
#include "agent/worker.h"

#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <vector>

namespace tidewaiter::agent {
namespace {

using ::testing::ElementsAre;

/// Work that waits at its first item until the test lets it go.
struct Held {
  std::promise<void> begun;
  std::promise<void> go;
  std::shared_future<void> gate{go.get_future()};
  std::vector<int> done;  // read after stop()
  bool is_first = true;

  void operator()(int item) {
    if (is_first) {
      is_first = false;
      begun.set_value();
      gate.wait();
    }
    done.push_back(item);
  }
};

TEST(Worker, works_off_in_order) {
  std::vector<int> done;
  Worker<int> worker(8, [&](int item, const auto&) { done.push_back(item); });
  for (int item = 1; item <= 3; ++item) EXPECT_TRUE(worker.try_push(item));
  worker.stop();
  EXPECT_THAT(done, ElementsAre(1, 2, 3));
  EXPECT_EQ(worker.dropped(), 0U);
}

TEST(Worker, drops_and_counts_what_does_not_fit_without_waiting) {
  Held held;
  Worker<int> worker(2, [&](int item, const auto&) { held(item); });
  EXPECT_TRUE(worker.try_push(1));
  held.begun.get_future().wait();
  EXPECT_TRUE(worker.try_push(2));
  EXPECT_TRUE(worker.try_push(3));
  EXPECT_FALSE(worker.try_push(4));
  EXPECT_FALSE(worker.try_push(5));
  EXPECT_EQ(worker.dropped(), 2U);
  held.go.set_value();
  worker.stop();
  EXPECT_THAT(held.done, ElementsAre(1, 2, 3));
}

TEST(Worker, stop_works_off_what_is_queued_and_tells_the_work) {
  std::promise<void> begun;
  std::vector<bool> was_stopping;
  Worker<int> worker(8, [&](int item, const std::atomic<bool>& is_stopping) {
    if (item == 1) {
      begun.set_value();
      while (!is_stopping) std::this_thread::yield();
    }
    was_stopping.push_back(is_stopping);
  });
  for (int item = 1; item <= 3; ++item) EXPECT_TRUE(worker.try_push(item));
  begun.get_future().wait();
  worker.stop();
  EXPECT_THAT(was_stopping, ElementsAre(true, true, true));
  worker.stop();
}

TEST(Worker, ends_with_its_life) {
  int done = 0;
  {
    Worker<int> worker(8, [&](int, const auto&) { ++done; });
    EXPECT_TRUE(worker.try_push(1));
  }
  EXPECT_EQ(done, 1);
}

}  // namespace
}  // namespace tidewaiter::agent
