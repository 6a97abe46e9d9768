// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace tidewaiter::board {

// A step costs some 20 us, and a sanitizer's stores are twenty times as many instructions: there, now and then.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr int kStride = 17;
#elif defined(__has_feature)
inline constexpr int kStride = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? 17 : 1;
#else
inline constexpr int kStride = 1;
#endif

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

/// A child that works one instruction at a time, once it has prepared itself.
class SteppedChild {
 public:
  template <class Prepare, class Work>
  SteppedChild(const Prepare& prepare, const Work& work) : pid_(fork()) {
    if (pid_ != 0) return;
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(errno);
    prepare();
    raise(SIGSTOP);
    work();
    _exit(0);  // without destructors: shared memory stays as it is
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

/// Memory that is looked at after each step, to see stores as they happen.
class Watch {
 public:
  Watch(const void* memory, std::size_t bytes) : memory_(memory), before_(bytes) {}
  [[nodiscard]] bool has_changed() const { return std::memcmp(before_.data(), memory_, before_.size()) != 0; }
  void remember() { std::memcpy(before_.data(), memory_, before_.size()); }

 private:
  const void* memory_;
  std::vector<char> before_;
};

enum class Ending { kKilled, kFinished, kNotPermitted };

/// Kills a child that does `work` after its `stores`-th store to the memory, unless it makes fewer; what it does to
/// `prepare` is not counted.
template <class Prepare, class Work>
Ending work_and_kill(const Prepare& prepare, const Work& work, Watch watch, int stores) {
  SteppedChild child(prepare, work);
  int status = 0;
  if (!child.wait_for_stop(status)) return Ending::kNotPermitted;
  watch.remember();
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

}  // namespace tidewaiter::board
