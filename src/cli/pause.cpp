// SPDX-License-Identifier: Apache-2.0
#include "cli/pause.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

namespace tidewaiter::cli {
namespace {

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

InterruptiblePause::InterruptiblePause() {
  const sigset_t signals = stop_signals();
  sigprocmask(SIG_BLOCK, &signals, nullptr);
}

InterruptiblePause::~InterruptiblePause() {
  const sigset_t signals = stop_signals();
  sigprocmask(SIG_UNBLOCK, &signals, nullptr);
}

bool InterruptiblePause::until(base::Instant time) {
  const sigset_t signals = stop_signals();
  while (true) {
    const auto left = std::max(time - read_clocks().steady, base::Nanoseconds(0));
    const auto seconds = std::chrono::duration_cast<base::Seconds>(left);
    const timespec wait{static_cast<std::time_t>(seconds.count()), static_cast<long>((left - seconds).count())};
    const int signal = sigtimedwait(&signals, nullptr, &wait);
    if (signal > 0) return false;
    if (errno == EAGAIN) return true;
  }
}

base::Moment read_clocks() {
  return {base::Instant(std::chrono::steady_clock::now()), base::WallTime(std::chrono::system_clock::now())};
}

}  // namespace tidewaiter::cli
