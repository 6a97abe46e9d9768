// SPDX-License-Identifier: Apache-2.0
#include "board/event_collector.h"

#include <array>
#include <bit>
#include <cerrno>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace tidewaiter::board {
namespace {

constexpr std::size_t kEventsAtATime = 32;
constexpr std::uint64_t kNoProcess = std::uint64_t{1} << 63;  // and the number of the ring

mode_t mode_of(EventCollector::Producers producers) {
  switch (producers) {
    case EventCollector::Producers::kGroup:
      return 0660;
    case EventCollector::Producers::kOwner:
      return 0600;
    case EventCollector::Producers::kEverybody:
      break;
  }
  return 0666;
}

bool send_hello(int connection, int error, int ring) {
  tw_events_hello hello{};
  hello.magic = TW_EVENT_RING_MAGIC;
  hello.error = error;
  return send_message(connection, &hello, sizeof hello, ring);
}

}  // namespace

std::vector<base::Setting> EventCollector::settings_of(Options& options) {
  return {{"board.max_event_rings", "rings", "Programs' threads that record events at one time.",
           base::Setting::Whole{&options.max_rings, 0, 4'096}},
          {"board.event_ring_events", "events",
           "Room of a ring, rounded up to a power of two; 64 bytes each, of the program's memory.",
           base::Setting::Whole{&options.ring_events, 64, TW_EVENT_RING_MAX_CAPACITY}},
          {"board.event_drain_interval", "", "How often rings are emptied while there are any.",
           base::Setting::Duration{&options.drain_interval, base::Milliseconds(1), base::Seconds(60)}},
          {"board.event_producers", "", "Who may record events, by user and group of the socket file.",
           base::Setting::choice(options.producers, {"everybody", "group", "owner"})}};
}

base::Result<EventCollector> EventCollector::listen(const Options& options) {
  auto listener = UnixListener::listen(options.path, mode_of(options.producers));
  if (!listener) return tl::unexpected(std::move(listener).error());
  EventCollector result(options, std::move(*listener));
  if (!result.epoll_.is_open() || !result.timer_.is_open()) {
    return base::fail_errno(errno, "descriptors for the socket of event rings");
  }
  for (const int descriptor : {result.listener_.descriptor(), result.timer_.get()}) {
    if (auto watched = watch(result.epoll_, descriptor, EPOLLIN); !watched) {
      return tl::unexpected(std::move(watched).error());
    }
  }
  return result;
}

EventCollector::EventCollector(const Options& options, UnixListener listener)
    : options_(options),
      listener_(std::move(listener)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  options_.ring_events = std::bit_ceil(options_.ring_events);
}

void EventCollector::drain(base::Instant now, const Visitor& visit) {
  std::array<epoll_event, kEventsAtATime> events{};
  const int ready = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  std::vector<int> gone;
  for (int i = 0; i < ready; ++i) {
    const int descriptor = events.at(static_cast<std::size_t>(i)).data.fd;
    if (descriptor == listener_.descriptor()) {
      counters_.failed += listener_.accept_some([this](base::FileDescriptor client) { greet(std::move(client)); });
    } else if (descriptor == timer_.get()) {
      std::uint64_t expirations = 0;
      static_cast<void>(::read(timer_.get(), &expirations, sizeof expirations) > 0);
    } else {
      gone.push_back(descriptor);  // only a hang-up is waited for
    }
  }
  // After the hang-ups were seen: what a program recorded before its end is there.
  for (auto& entry : clients_) {
    Client& client = entry.second;
    client.producer.network_namespace = client.ring.network_namespace();
    counters_.counts += client.ring.drain(now, [&](const tw_event& event) { visit(client.producer, event); });
  }
  for (const int descriptor : gone) clients_.erase(descriptor);  // closing takes it out of the epoll
  set_timer();
}

void EventCollector::greet(base::FileDescriptor connection) {
  const int descriptor = connection.get();
  if (clients_.size() >= options_.max_rings) {
    ++(send_hello(descriptor, ENOSPC, -1) ? counters_.refused : counters_.failed);
    return;
  }
  auto ring = EventRing::create({.capacity = static_cast<std::uint32_t>(options_.ring_events)});
  if (!ring) {
    static_cast<void>(send_hello(descriptor, ring.error().system_errno, -1));
    ++counters_.failed;
    return;
  }
  if (!watch(epoll_, descriptor, EPOLLRDHUP) || !send_hello(descriptor, 0, ring->descriptor())) {
    ++counters_.failed;
    return;
  }
  ring->close_descriptor();
  ++counters_.rings;
  Producer producer = producer_of(descriptor);
  clients_.emplace(descriptor, Client{std::move(connection), std::move(*ring), producer});
}

Producer EventCollector::producer_of(int connection) const {
  ucred peer{};
  socklen_t length = sizeof peer;
  static_cast<void>(getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length));
  Producer producer;
  producer.pid = peer.pid;
  producer.uid = peer.uid;
  producer.process = peer.pid > 0 ? static_cast<std::uint64_t>(peer.pid) : kNoProcess + counters_.rings;
  return producer;
}

void EventCollector::set_timer() {
  const bool is_wanted = !clients_.empty();
  if (is_wanted == is_timer_set_) return;
  const auto interval = is_wanted ? options_.drain_interval : base::Nanoseconds(0);
  const auto seconds = std::chrono::duration_cast<base::Seconds>(interval);
  itimerspec time{};
  time.it_interval = {static_cast<std::time_t>(seconds.count()), static_cast<long>((interval - seconds).count())};
  time.it_value = time.it_interval;
  if (timerfd_settime(timer_.get(), 0, &time, nullptr) == 0) is_timer_set_ = is_wanted;
}

}  // namespace tidewaiter::board
