// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "base/stopwatch.h"
#include "serve/protocol.h"
#include "serve/workers.h"

namespace tidewaiter::serve {

/// What the server counts, from its start.
struct Counters {
  std::uint64_t connections = 0;
  std::uint64_t requests = 0;
  std::uint64_t refused = 0;      ///< answers 4xx
  std::uint64_t failed = 0;       ///< answers 5xx
  std::uint64_t timed_out = 0;    ///< connections closed because the client was too slow
  std::uint64_t crowded_out = 0;  ///< connections closed because there were too many: those that waited longest
};

/// How patient the server is. A connection costs a descriptor and a few hundred bytes, never a thread.
struct Patience {
  std::size_t max_connections = 600;
  std::size_t max_head_bytes = 16'384;
  std::uint32_t max_requests = 1000;  ///< on one connection
  base::Nanoseconds head = base::Seconds(5);
  base::Nanoseconds idle = base::Seconds(30);  ///< between two requests
  base::Nanoseconds answer = base::Seconds(5);
  base::Nanoseconds goodbye = base::Seconds(1);  ///< for what the client still sends after the last answer
};

/// All connections of a server, served by one thread that never waits for any of them: it reads until a head is
/// complete, has a worker make the answer, and writes as fast as the client reads. So a client that sends half a
/// request, or does not read its answer, is in nobody's way.
class Connections {
 public:
  /// `listener` must be non-blocking.
  Connections(base::FileDescriptor listener, const Protocol& protocol, Patience patience);
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  /// Serves until `stop`; the thread that calls it is the one that serves. Returns when the
  /// handlers that were running have.
  void serve();

  /// From any thread.
  void stop();
  [[nodiscard]] Counters counters() const;

 private:
  enum class Phase : std::uint8_t { kReading, kAnswering, kWriting, kEnding };
  struct Connection {
    base::FileDescriptor socket;
    Phase phase = Phase::kReading;
    base::Stopwatch since{};  ///< the beginning of what the patience is measured for
    std::string input{};
    std::string output{};
    std::size_t written = 0;
    std::uint32_t requests = 0;
    bool keep_open = true;
  };
  struct Finished {
    std::uint64_t id = 0;
    Protocol::Answer answer;
  };
  using Entry = std::map<std::uint64_t, Connection>::iterator;

  void accept_all();
  void on_ready(Entry entry);
  void read(Entry entry);
  void try_to_answer(Entry entry);
  void take_finished();
  void begin_to_write(Entry entry, Protocol::Answer answer);
  void write(Entry entry);
  void discard(Entry entry);
  void look_for_timeouts();
  [[nodiscard]] base::Nanoseconds patience_with(const Connection& connection) const;
  [[nodiscard]] bool make_room();
  void arm(Entry entry, std::uint32_t events);
  void close(Entry entry) { connections_.erase(entry); }

  base::FileDescriptor listener_;
  const Protocol& protocol_;
  const Patience patience_;
  base::FileDescriptor poll_;
  base::FileDescriptor wake_;
  std::atomic<bool> is_stopping_ = false;

  std::map<std::uint64_t, Connection> connections_;  // by number of arrival
  std::uint64_t next_id_;
  base::Stopwatch since_look_;

  std::mutex finished_mutex_;
  std::vector<Finished> finished_;

  std::atomic<std::uint64_t> accepted_ = 0, requests_ = 0, refused_ = 0, failed_ = 0, timed_out_ = 0, crowded_out_ = 0;
  Workers workers_;  // last: its jobs use all of the above
};

}  // namespace tidewaiter::serve
