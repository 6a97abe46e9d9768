// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"
#include "kernel/diag_wire.h"

namespace tidewaiter::kernel {

/// What one dump took.
struct DumpCost {
  std::uint64_t rows = 0;
  std::uint32_t restarts = 0;   ///< interrupted, or overrun (ENOBUFS), or a datagram longer than the buffer
  std::uint32_t unknown = 0;    ///< messages passed over
  base::Nanoseconds kernel{0};  ///< inside send and receive
};

/// A netlink socket towards sock_diag in the calling thread's network namespace, connected, with a large receive buffer
/// and without CAP_NET_ADMIN. Errors: kUnavailable where the kernel has no such protocol.
[[nodiscard]] base::Result<base::FileDescriptor> connect_to_sock_diag();

/// A NETLINK_SOCK_DIAG socket: lists the TCP sockets of the network namespace in which it was opened, for as long as
/// it is open. Needs no privilege. Thread: one at a time.
class DiagSocket {
 public:
  /// Opens the socket in the calling thread's namespace. Errors: kUnavailable where the kernel has no inet_diag.
  [[nodiscard]] static base::Result<DiagSocket> open();

  /// Speaks over a socket that is connected already, one datagram a message: for tests that play the kernel.
  [[nodiscard]] static DiagSocket over(base::FileDescriptor connected);

  /// Runs one dump into `sink`. An interrupted or overrun dump is started again, up to 3 times; after that an
  /// interrupted one is taken as it is (its restarts say so) and an overrun one is an error (kUnavailable).
  /// After an error open a new one.
  [[nodiscard]] base::Result<DumpCost> dump(const DiagRequest& request, telemetry::RowSink& sink);

 private:
  enum class Outcome : std::uint8_t { kComplete, kInterrupted, kOverrun };
  DiagSocket() = default;
  [[nodiscard]] base::Result<Outcome> dump_once(const DiagRequest& request, telemetry::RowSink& sink, DumpCost& cost);
  /// Length of the next datagram in `buffer_`; nullopt = rows were lost on the way.
  [[nodiscard]] base::Result<std::optional<std::size_t>> receive();
  [[nodiscard]] base::Result<void> send(const std::vector<std::byte>& request);

  base::FileDescriptor socket_;
  std::vector<std::byte> buffer_;
  std::uint32_t sequence_ = 0;
};

}  // namespace tidewaiter::kernel
