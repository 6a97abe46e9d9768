// SPDX-License-Identifier: Apache-2.0
#include "serve/connections.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <utility>

namespace tidewaiter::serve {
namespace {

constexpr std::size_t kWorkers = 4;
constexpr std::uint64_t kListener = 0;
constexpr std::uint64_t kWake = 1;
constexpr std::uint64_t kFirstConnection = 2;
constexpr int kLookEveryMs = 100;
constexpr std::string_view kEndOfHead = "\r\n\r\n";

void watch(int poll, int descriptor, std::uint64_t id, std::uint32_t events, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  epoll_ctl(poll, operation, descriptor, &event);
}

}  // namespace

Connections::Connections(base::FileDescriptor listener, const Protocol& protocol, Patience patience)
    : listener_(std::move(listener)),
      protocol_(protocol),
      patience_(patience),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      next_id_(kFirstConnection),
      workers_(kWorkers) {
  watch(poll_.get(), listener_.get(), kListener, EPOLLIN, EPOLL_CTL_ADD);
  watch(poll_.get(), wake_.get(), kWake, EPOLLIN, EPOLL_CTL_ADD);
}

void Connections::stop() {
  is_stopping_ = true;
  eventfd_write(wake_.get(), 1);
}

Counters Connections::counters() const { return {accepted_, requests_, refused_, failed_, timed_out_, crowded_out_}; }

void Connections::serve() {
  std::array<epoll_event, 64> events{};
  while (!is_stopping_) {
    const int timeout = connections_.empty() ? -1 : kLookEveryMs;
    const int ready = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    for (int i = 0; i < ready && !is_stopping_; ++i) {
      const std::uint64_t id = events.at(static_cast<std::size_t>(i)).data.u64;
      if (id == kListener) {
        accept_all();
      } else if (id == kWake) {
        take_finished();
      } else if (const auto entry = connections_.find(id); entry != connections_.end()) {
        on_ready(entry);
      }
    }
    if (since_look_.elapsed() >= base::Milliseconds(kLookEveryMs)) look_for_timeouts();
  }
  workers_.stop();
  connections_.clear();
  listener_.reset();
}

void Connections::accept_all() {
  while (true) {
    base::FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.is_open()) {
      const bool has_no_descriptor = errno == EMFILE || errno == ENFILE;
      if (has_no_descriptor && make_room()) continue;
      return;
    }
    ++accepted_;
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connections_.size() >= patience_.max_connections) (void)make_room();
    const std::uint64_t id = next_id_++;
    watch(poll_.get(), socket.get(), id, EPOLLIN | EPOLLONESHOT, EPOLL_CTL_ADD);
    connections_.emplace(id, Connection{std::move(socket)});
  }
}

/// Closes the connection that has waited longest for its client.
bool Connections::make_room() {
  auto longest = connections_.end();
  base::Nanoseconds waited{-1};
  for (auto entry = connections_.begin(); entry != connections_.end(); ++entry) {
    const base::Nanoseconds elapsed = entry->second.since.elapsed();
    if (entry->second.phase != Phase::kAnswering && elapsed > waited) {
      waited = elapsed;
      longest = entry;
    }
  }
  if (longest == connections_.end()) return false;
  ++crowded_out_;
  close(longest);
  return true;
}

void Connections::on_ready(Entry entry) {
  switch (entry->second.phase) {
    case Phase::kReading:
      return read(entry);
    case Phase::kWriting:
      return write(entry);
    case Phase::kEnding:
      return discard(entry);
    case Phase::kAnswering:
      return;  // not armed
  }
}

void Connections::read(Entry entry) {
  Connection& connection = entry->second;
  std::array<char, 4096> buffer{};
  while (connection.input.size() <= patience_.max_head_bytes) {
    const ssize_t size = ::recv(connection.socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) break;
    if (size <= 0) {
      // A client may have ended its own direction after a whole request.
      if (size == 0 && connection.input.find(kEndOfHead) != std::string::npos) break;
      return close(entry);
    }
    if (connection.input.empty()) connection.since = {};
    connection.input.append(buffer.data(), static_cast<std::size_t>(size));
  }
  try_to_answer(entry);
}

void Connections::try_to_answer(Entry entry) {
  Connection& connection = entry->second;
  const std::size_t end = connection.input.find(kEndOfHead);
  if (end == std::string::npos || end > patience_.max_head_bytes) {
    if (connection.input.size() <= patience_.max_head_bytes) return arm(entry, EPOLLIN);
    ++requests_;
    return begin_to_write(entry, Protocol::head_too_large());
  }
  connection.phase = Phase::kAnswering;
  const bool is_last = ++connection.requests >= patience_.max_requests;
  ++requests_;
  std::string head = connection.input.substr(0, end + kEndOfHead.size());
  connection.input.erase(0, head.size());
  workers_.submit([this, id = entry->first, head = std::move(head), is_last] {
    Finished finished{id, protocol_.answer(head, is_last)};
    const std::lock_guard lock(finished_mutex_);
    finished_.push_back(std::move(finished));
    eventfd_write(wake_.get(), 1);
  });
}

void Connections::take_finished() {
  eventfd_t count = 0;
  eventfd_read(wake_.get(), &count);
  std::vector<Finished> finished;
  {
    const std::lock_guard lock(finished_mutex_);
    finished.swap(finished_);
  }
  for (Finished& each : finished) {
    const auto entry = connections_.find(each.id);
    assert(entry != connections_.end());  // nothing closes a connection in this phase
    begin_to_write(entry, std::move(each.answer));
  }
}

void Connections::begin_to_write(Entry entry, Protocol::Answer answer) {
  if (answer.status >= 500) {
    ++failed_;
  } else if (answer.status >= 400) {
    ++refused_;
  }
  Connection& connection = entry->second;
  connection.phase = Phase::kWriting;
  connection.since = {};
  connection.output = std::move(answer.bytes);
  connection.written = 0;
  connection.keep_open = answer.keep_open;
  write(entry);
}

void Connections::write(Entry entry) {
  Connection& connection = entry->second;
  while (connection.written < connection.output.size()) {
    const ssize_t size = ::send(connection.socket.get(), connection.output.data() + connection.written,
                                connection.output.size() - connection.written, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return arm(entry, EPOLLOUT);
    if (size < 0) return close(entry);
    connection.written += static_cast<std::size_t>(size);
  }
  connection.output = {};
  connection.since = {};
  if (connection.keep_open) {
    connection.phase = Phase::kReading;
    return try_to_answer(entry);
  }
  // Closing now, with something unread, would reset the connection and could take the answer with it.
  connection.phase = Phase::kEnding;
  ::shutdown(connection.socket.get(), SHUT_WR);
  discard(entry);
}

void Connections::discard(Entry entry) {
  std::array<char, 4096> buffer{};
  for (int i = 0; i < 16; ++i) {  // a fast sender does not keep the thread
    const ssize_t size = ::recv(entry->second.socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EAGAIN) break;
    if (size <= 0) return close(entry);
  }
  arm(entry, EPOLLIN);
}

void Connections::look_for_timeouts() {
  since_look_ = {};
  for (auto entry = connections_.begin(); entry != connections_.end();) {
    const auto current = entry++;
    const Connection& connection = current->second;
    if (connection.phase == Phase::kAnswering || connection.since.elapsed() < patience_with(connection)) continue;
    if (connection.phase != Phase::kReading || !connection.input.empty() || connection.requests == 0) ++timed_out_;
    close(current);
  }
}

base::Nanoseconds Connections::patience_with(const Connection& connection) const {
  switch (connection.phase) {
    case Phase::kWriting:
      return patience_.answer;
    case Phase::kEnding:
      return patience_.goodbye;
    case Phase::kReading:
    case Phase::kAnswering:
      break;
  }
  return connection.requests > 0 && connection.input.empty() ? patience_.idle : patience_.head;
}

void Connections::arm(Entry entry, std::uint32_t events) {
  watch(poll_.get(), entry->second.socket.get(), entry->first, events | EPOLLONESHOT, EPOLL_CTL_MOD);
}

}  // namespace tidewaiter::serve
