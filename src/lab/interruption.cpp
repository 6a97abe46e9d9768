// SPDX-License-Identifier: Apache-2.0
#include "lab/interruption.h"

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "lab/clock.h"

namespace tidewaiter::lab {
namespace {

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

Interruption::Interruption() : event_(eventfd(0, EFD_CLOEXEC)) {}

Interruption Interruption::of_signals() {
  Interruption interruption;
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  interruption.signals_ = base::FileDescriptor(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  return interruption;
}

Interruption::~Interruption() {
  if (!signals_.is_open()) return;
  signalfd_siginfo taken{};
  while (::read(signals_.get(), &taken, sizeof taken) > 0) {
  }
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

void Interruption::interrupt() { eventfd_write(event_.get(), 1); }

bool Interruption::is_interrupted() const { return !wait_until(base::Instant()); }

bool Interruption::wait_until(base::Instant time) const {
  while (true) {
    const auto left = std::max(time - read_clock(), base::Nanoseconds(0));
    const auto seconds = std::chrono::duration_cast<base::Seconds>(left);
    const timespec wait{static_cast<std::time_t>(seconds.count()), static_cast<long>((left - seconds).count())};
    pollfd watched[2] = {{event_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};  // poll ignores a descriptor of −1
    const int ready = ppoll(watched, 2, &wait, nullptr);
    if (ready == 0) return true;
    if (ready > 0) return false;
  }
}

}  // namespace tidewaiter::lab
