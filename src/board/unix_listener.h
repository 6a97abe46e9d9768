// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <sys/types.h>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace tidewaiter::board {

/// A Unix socket (SOCK_SEQPACKET) that hands out descriptors to whoever may connect. Nothing a client does, or fails
/// to do, keeps the caller waiting. One thread. Move-only; the destructor removes the path while it is its own.
class UnixListener {
 public:
  /// Listens at the path, whose file gets `mode`: connecting needs the right to write. A socket that nobody serves is
  /// replaced; which of two agents that start together wins must be settled before, by the state directory's lock.
  /// Errors: kUnavailable when another agent serves there; kInvalidArgument when the path is too long or is something
  /// else than a socket; what bind said.
  [[nodiscard]] static base::Result<UnixListener> listen(const std::string& path, mode_t mode);

  UnixListener(UnixListener&&) = default;
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();

  /// Readable while clients wait.
  [[nodiscard]] int descriptor() const { return listener_.get(); }

  /// Gives `greet` the non-blocking connections of clients that wait, some at a time. Returns how many were turned away
  /// instead, because no descriptor was free.
  std::uint64_t accept_some(const std::function<void(base::FileDescriptor)>& greet);

 private:
  /// The file at the path, to remove it only while it is ours.
  struct Inode {
    dev_t device;
    ino_t number;
  };

  UnixListener() = default;
  [[nodiscard]] base::Result<void> bind_and_listen(mode_t mode);
  void turn_away_one();

  std::string path_;
  Inode inode_{};
  base::FileDescriptor listener_;
  base::FileDescriptor spare_;  ///< given up to take a client off the queue when no other descriptor is free
};

/// Waits on one more descriptor; event.data.fd is the descriptor. Errors: what epoll_ctl said.
[[nodiscard]] base::Result<void> watch(const base::FileDescriptor& epoll, int descriptor, std::uint32_t events);

/// Sends one message, with one descriptor unless it is -1; whole or not at all, without waiting.
[[nodiscard]] bool send_message(int connection, const void* bytes, std::size_t size, int descriptor);

}  // namespace tidewaiter::board
