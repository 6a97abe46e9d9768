// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "telemetry/socket_row.h"

namespace tidewaiter::kernel {

/// The length of the kernel's tick, for times in ticks. `hz` > 0.
class Tick {
 public:
  explicit Tick(unsigned hz) : hz_(hz), whole_ms_(1'000 % hz == 0 ? 1'000 / hz : 0) {}

  /// As the kernel does it (jiffies_to_msecs), upwards where a tick is no whole number of milliseconds.
  [[nodiscard]] std::uint32_t milliseconds(std::uint32_t ticks) const {
    if (whole_ms_ != 0) return ticks * whole_ms_;
    return static_cast<std::uint32_t>((std::uint64_t{ticks} * 1'000 + hz_ - 1) / hz_);
  }

 private:
  std::uint32_t hz_;
  std::uint32_t whole_ms_;
};

/// What a part of the stream held.
struct SocketChunk {
  std::uint64_t rows = 0;
  std::size_t bytes = 0;  ///< of whole records; the rest begins the next part
};

/// Reads records of sockets.bpf.c and hands each to `sink`: connections, with their timer where they are mini-sockets;
/// connections that wait for accept(), with `last_data_sent_ms`; listeners, with nothing but `half_open`. Inodes are
/// not told. Never reads past `stream`. Errors: kMalformed (a state or a flag that no record has).
[[nodiscard]] base::Result<SocketChunk> parse_sockets(std::span<const std::byte> stream, Tick tick,
                                                      telemetry::RowSink& sink);

}  // namespace tidewaiter::kernel
