// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <linux/io_uring.h>
#include <memory>
#include <optional>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "lab/client_socket.h"

namespace tidewaiter::lab {

/// An io_uring that does one connect at a time: no system call named connect() is made. Thread: one.
class ConnectRing {
 public:
  /// Errors: kUnavailable, kNotPermitted where the kernel has none or the host does not want it.
  [[nodiscard]] static base::Result<ConnectRing> create();

  /// Connects a socket and waits for the end of it: 0, or errno.
  [[nodiscard]] int connect(const base::FileDescriptor& socket, const SocketAddress& to);

 private:
  struct Unmap {
    std::size_t length;
    void operator()(std::byte* memory) const;
  };
  using Mapping = std::unique_ptr<std::byte, Unmap>;

  ConnectRing() = default;
  [[nodiscard]] bool map(Mapping& mapping, std::size_t length, unsigned long long place) const;
  [[nodiscard]] static unsigned* word(const Mapping& mapping, unsigned offset);

  base::FileDescriptor ring_;
  io_uring_params parameters_{};
  Mapping submissions_;
  Mapping completions_;
  Mapping entries_;
};

}  // namespace tidewaiter::lab
