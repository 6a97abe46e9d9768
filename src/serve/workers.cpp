// SPDX-License-Identifier: Apache-2.0
#include "serve/workers.h"

#include <csignal>
#include <pthread.h>
#include <utility>

namespace tidewaiter::serve {

std::thread start_thread(const char* name, std::function<void()> work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([name, work = std::move(work)] {
    pthread_setname_np(pthread_self(), name);
    work();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

Workers::Workers(std::size_t threads) {
  for (std::size_t i = 0; i < threads; ++i) threads_.push_back(start_thread("http-worker", [this] { run(); }));
}

void Workers::submit(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  there_is_work_.notify_one();
}

void Workers::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    jobs_.clear();
  }
  there_is_work_.notify_all();
  for (std::thread& thread : std::exchange(threads_, {})) thread.join();
}

void Workers::run() {
  while (true) {
    std::function<void()> job;
    {
      std::unique_lock lock(mutex_);
      there_is_work_.wait(lock, [this] { return is_stopping_ || !jobs_.empty(); });
      if (is_stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace tidewaiter::serve
