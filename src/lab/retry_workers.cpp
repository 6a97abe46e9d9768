// SPDX-License-Identifier: Apache-2.0
#include "lab/retry_workers.h"

#include <cerrno>
#include <sys/socket.h>
#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_nanosleep

#include "lab/clock.h"

namespace tidewaiter::lab {
namespace {

void sleep_until(base::Instant time) {
  const auto ns = time.time_since_epoch().count();
  const timespec at{ns / 1'000'000'000, ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
  }
}

/// Until the process is ended.
void try_again_and_again(const Endpoint& server, RetrySchedule schedule, OutcomeCounts& counts) {
  const SocketAddress to = socket_address(server);
  while (true) {
    sleep_until(schedule.next());
    base::FileDescriptor socket = open_socket(server, 0);
    counts.add(::connect(socket.get(), to.get(), to.length) == 0 ? 0 : errno);
    close_by_reset(std::move(socket));
  }
}

}  // namespace

RetrySchedule::RetrySchedule(const RetryTiming& timing, std::uint32_t workers, std::uint64_t seed, base::Instant began)
    : timing_(timing), random_(seed) {
  for (std::uint32_t i = 0; i < workers; ++i) {
    const bool is_in_step = timing_.pattern == RetryPattern::kInStep;
    due_.push({began + draw(is_in_step ? timing_.width : timing_.begin), began});
  }
}

base::Nanoseconds RetrySchedule::draw(base::Nanoseconds below) {
  return base::Nanoseconds(std::uniform_int_distribution<std::int64_t>(0, below.count())(random_));
}

base::Instant RetrySchedule::next() {
  const Due now = due_.top();
  due_.pop();
  if (timing_.pattern == RetryPattern::kInStep) {
    const base::Instant step = now.step + timing_.period;
    due_.push({step + draw(timing_.width), step});
  } else {
    due_.push({now.at + draw(timing_.period), now.at});
  }
  return now.at;
}

base::Result<RetryWorkers> RetryWorkers::start(const Network& network, const RetryOptions& options) {
  auto counts = OutcomeCounts::create();
  if (!counts) return tl::unexpected(counts.error());
  RetryWorkers workers(std::move(*counts));
  const base::Instant began = read_clock() + base::Milliseconds(100);  // when every process is there
  for (std::uint32_t i = 0; i < options.processes; ++i) {
    auto process = fork_inside(network, [&] {
      try_again_and_again(options.server, {options.timing, options.workers, options.seed + i, began}, workers.counts_);
    });
    if (!process) return tl::unexpected(process.error());
    workers.processes_.push_back(std::move(*process));
  }
  return workers;
}

}  // namespace tidewaiter::lab
