// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"
#include "base/settings.h"
#include "board/event_ring.h"
#include "board/unix_listener.h"

namespace tidewaiter::board {

/// Who writes to a ring. pid and uid are the kernel's word, of when the connection was made.
struct Producer {
  std::uint64_t process = 0;  ///< the same for all rings of a process: within one, ids mean the same
  pid_t pid = 0;              ///< in the agent's pid namespace; 0: not in it
  uid_t uid = 0;
  std::uint64_t network_namespace = 0;  ///< inode, as the producer says; 0: it does not
};

/// The agent's end of the socket that gives each client a ring of its own, and of all these rings. A ring is read until
/// its client has hung up and it is empty, then freed. Nothing a client does, or fails to do, keeps the agent waiting;
/// what clients send over the socket is never read.
/// One thread. Move-only; the destructor removes the path.
class EventCollector {
 public:
  /// Who may have a ring, apart from root: the mode of the socket file.
  enum class Producers : std::uint8_t { kEverybody, kGroup, kOwner };

  struct Options {
    std::string path = {};
    std::uint64_t max_rings = 64;
    std::uint64_t ring_events = 4096;  ///< capacity of each; rounded up to a power of two
    base::Nanoseconds drain_interval = base::Milliseconds(100);
    Producers producers = Producers::kEverybody;
  };
  [[nodiscard]] static std::vector<base::Setting> settings_of(Options& options);

  /// Since the start, of rings that are gone as well.
  struct Counters {
    std::uint64_t rings = 0;    ///< handed out
    std::uint64_t refused = 0;  ///< clients that were told that all rings are taken
    std::uint64_t failed = 0;   ///< clients that got none for another reason: gone, no descriptor, no memory
    EventRing::Counts counts;
  };

  using Visitor = std::function<void(const Producer&, const tw_event&)>;

  /// Errors: as UnixListener::listen.
  [[nodiscard]] static base::Result<EventCollector> listen(const Options& options);

  /// For the caller's epoll (level-triggered, EPOLLIN): readable when a client comes or goes, and while there are rings
  /// once in drain_interval. Then it is time to drain.
  [[nodiscard]] int descriptor() const { return epoll_.get(); }

  /// Hands on whatever was recorded before the call, ring by ring, each in its order; greets clients that came and
  /// frees the rings of those that left, some at a time. Never blocks. `now`: of CLOCK_MONOTONIC, as read before.
  void drain(base::Instant now, const Visitor& visit);

  [[nodiscard]] std::size_t rings() const { return clients_.size(); }
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Client {
    base::FileDescriptor connection;
    EventRing ring;
    Producer producer;
  };

  EventCollector(const Options& options, UnixListener listener);

  void greet(base::FileDescriptor connection);
  [[nodiscard]] Producer producer_of(int connection) const;
  void set_timer();

  Options options_;
  UnixListener listener_;
  base::FileDescriptor epoll_;
  base::FileDescriptor timer_;
  bool is_timer_set_ = false;
  std::map<int, Client> clients_;  ///< by descriptor of the connection
  Counters counters_;
};

}  // namespace tidewaiter::board
