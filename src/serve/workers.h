// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tidewaiter::serve {

/// A few threads that run jobs in the order in which they came. They take no signals.
class Workers {
 public:
  explicit Workers(std::size_t threads);
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers() { stop(); }

  void submit(std::function<void()> job);

  /// Forgets jobs that have not begun, and waits for those that have.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable there_is_work_;
  std::deque<std::function<void()>> jobs_;
  bool is_stopping_ = false;
  std::vector<std::thread> threads_;
};

/// Starts a named thread with all signals blocked, so that they reach the program's own.
[[nodiscard]] std::thread start_thread(const char* name, std::function<void()> work);

}  // namespace tidewaiter::serve
