// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "base/settings.h"
#include "board/parameter_block_writer.h"
#include "board/unix_listener.h"
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

  /// Listens at the path, for everybody who may enter its directory. The block's descriptor is duplicated. Errors: as
  /// UnixListener::listen.
  [[nodiscard]] static base::Result<AgentSocket> listen(const Options& options, const ParameterBlockWriter& block);

  /// For the caller's epoll (level-triggered, EPOLLIN): readable when there is something to do.
  [[nodiscard]] int descriptor() const { return epoll_.get(); }

  /// Greets clients that came and forgets those that left, some at a time. Never blocks.
  void on_readable();

  [[nodiscard]] std::size_t clients() const { return clients_.size(); }
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  explicit AgentSocket(UnixListener listener) : listener_(std::move(listener)) {}

  void greet(base::FileDescriptor client);

  Options options_;
  tw_hello hello_{};
  UnixListener listener_;
  base::FileDescriptor block_;
  base::FileDescriptor epoll_;
  std::map<int, base::FileDescriptor> clients_;
  Counters counters_;
};

}  // namespace tidewaiter::board
