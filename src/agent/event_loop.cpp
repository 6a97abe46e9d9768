// SPDX-License-Identifier: Apache-2.0
#include "agent/event_loop.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace tidewaiter::agent {
namespace {

base::Result<void> add(const base::FileDescriptor& poll, int descriptor) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = descriptor;
  if (epoll_ctl(poll.get(), EPOLL_CTL_ADD, descriptor, &event) == 0) return {};
  return base::fail_errno(errno, "epoll_ctl");
}

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

base::Result<EventLoop> EventLoop::create() {
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  EventLoop loop;
  loop.poll_ = base::FileDescriptor(epoll_create1(EPOLL_CLOEXEC));
  loop.timer_ = base::FileDescriptor(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  loop.signals_ = base::FileDescriptor(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  loop.stop_ = base::FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  for (const auto* descriptor : {&loop.poll_, &loop.timer_, &loop.signals_, &loop.stop_}) {
    if (!descriptor->is_open()) return base::fail_errno(errno, "make the event loop");
  }
  for (const auto* descriptor : {&loop.timer_, &loop.signals_, &loop.stop_}) {
    if (auto added = add(loop.poll_, descriptor->get()); !added) return tl::unexpected(added.error());
  }
  return loop;
}

base::Result<void> EventLoop::watch(int descriptor) { return add(poll_, descriptor); }

EventLoop::Event EventLoop::wait(base::Instant until, base::Instant now) {
  // An absolute time of 0 would disarm the timer.
  const base::Nanoseconds due = std::max(until, now).time_since_epoch();
  const auto seconds = std::chrono::duration_cast<base::Seconds>(due);
  itimerspec time{};
  time.it_value = {static_cast<std::time_t>(seconds.count()), static_cast<long>((due - seconds).count())};
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &time, nullptr);
  while (true) {
    std::array<epoll_event, 8> events{};
    const int count = epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), -1);
    Event result = Event::kReadable;
    for (int i = 0; i < count; ++i) {
      const int descriptor = events.at(static_cast<std::size_t>(i)).data.fd;
      if (descriptor == signals_.get() || descriptor == stop_.get()) return Event::kStop;
      if (descriptor == timer_.get()) result = Event::kTime;
    }
    if (count > 0) return result;
  }
}

void EventLoop::stop() {
  const std::uint64_t one = 1;
  static_cast<void>(::write(stop_.get(), &one, sizeof one) == sizeof one);
}

}  // namespace tidewaiter::agent
