// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace tidewaiter::agent {

/// One thread that works off a bounded queue, so that a slow disk or reader never keeps the observer waiting. What does
/// not fit is counted.
template <class Item>
class Worker {
 public:
  using Work = std::function<void(const Item&, const std::atomic<bool>& is_stopping)>;

  Worker(std::size_t capacity, Work work) : capacity_(capacity), work_(std::move(work)), thread_([this] { run(); }) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { stop(); }

  /// False when the queue is full: the item is dropped and counted.
  bool try_push(Item item) {
    {
      const std::lock_guard lock(mutex_);
      if (items_.size() >= capacity_) {
        ++dropped_;
        return false;
      }
      items_.push_back(std::move(item));
    }
    there_is_work_.notify_one();
    return true;
  }

  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

  /// Works off what is queued, with `is_stopping` set so that no item waits for the world, and ends.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    there_is_work_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      there_is_work_.wait(lock, [&] { return !items_.empty() || is_stopping_; });
      if (items_.empty()) return;
      const Item item = std::move(items_.front());
      items_.pop_front();
      lock.unlock();
      work_(item, is_stopping_);
      lock.lock();
    }
  }

  std::size_t capacity_;
  Work work_;
  std::mutex mutex_;
  std::condition_variable there_is_work_;
  std::deque<Item> items_;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<std::uint64_t> dropped_ = 0;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tidewaiter::agent
