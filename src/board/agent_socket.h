// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "base/settings.h"
#include "board/parameter_block_writer.h"
#include "board/wire.h"

namespace tidewaiter::board {

/// The agent's end of the Unix socket that hands out the parameter block: each client is told one tw_hello and given
/// the descriptor, and its connection stays as a sign that the agent lives. Nothing a client does, or fails to do,
/// keeps the agent waiting; what clients send is never read. One thread. Move-only; the destructor removes the path.
class AgentSocket {
 public:
  struct Options {
    std::string path;
    std::uint64_t max_clients = 256;
  };
  [[nodiscard]] static std::vector<base::Setting> settings_of(Options& options);

  /// Clients since the start.
  struct Counters {
    std::uint64_t greeted = 0;   ///< got hello and block
    std::uint64_t not_kept = 0;  ///< of those: beyond max_clients, their connection was closed after the hello
    std::uint64_t failed = 0;    ///< got nothing: gone before the hello, or no descriptor was free
  };

  /// Listens at the path, for everybody who may enter its directory. A socket that nobody serves is replaced; which of
  /// two agents that start together wins must be settled before, by the state directory's lock. The block's descriptor
  /// is duplicated.
  /// Errors: kUnavailable when another agent serves there; kInvalidArgument when the path is too long or is something
  /// else than a socket; what bind said.
  [[nodiscard]] static base::Result<AgentSocket> listen(const Options& options, const ParameterBlockWriter& block);

  AgentSocket(AgentSocket&&) = default;
  AgentSocket& operator=(AgentSocket&&) = delete;
  ~AgentSocket();

  /// For the caller's epoll (level-triggered, EPOLLIN): readable when there is something to do.
  [[nodiscard]] int descriptor() const { return epoll_.get(); }

  /// Greets clients that came and forgets those that left, some at a time. Never blocks.
  void on_readable();

  [[nodiscard]] std::size_t clients() const { return clients_.size(); }
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  /// The file at the path, to remove it only while it is ours.
  struct Inode {
    dev_t device;
    ino_t number;
  };

  AgentSocket() = default;

  [[nodiscard]] base::Result<void> bind_and_listen();
  [[nodiscard]] base::Result<void> watch(int descriptor, std::uint32_t events) const;
  void accept_some();
  void greet(base::FileDescriptor client);
  void turn_away_one();

  Options options_;
  tw_hello hello_{};
  Inode inode_{};
  base::FileDescriptor block_;
  base::FileDescriptor listener_;
  base::FileDescriptor epoll_;
  base::FileDescriptor spare_;  ///< given up to take a client off the queue when no other descriptor is free
  std::map<int, base::FileDescriptor> clients_;
  Counters counters_;
};

}  // namespace tidewaiter::board
