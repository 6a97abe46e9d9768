// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "kernel/host.h"
#include "kernel/socket_decode.h"
#include "telemetry/port_plan.h"
#include "telemetry/socket_row.h"

struct tw_socket_program;

namespace tidewaiter::kernel {

/// What one walk took, and what it only counted.
struct WalkCost {
  std::uint64_t rows = 0;
  std::uint64_t left_out = 0;  ///< connections on listening ports
  std::uint32_t left_out_in_range = 0;
  std::uint32_t left_out_in_range_mini = 0;  ///< of those: mini-sockets
  base::Nanoseconds kernel{0};               ///< inside system calls
};

/// Lists the TCP sockets of a network namespace by a BPF iterator over the kernel's own table (`iter/tcp`): one walk
/// for both families, filtered in the kernel, 24 bytes for most. What that saves beside sock_diag is for WalkChoice to
/// find out. Bound idle sockets are not in it.
///
/// Sockets come with the cookies that sock_diag shows, so that looks by either can be compared. Before Linux 6.17 a
/// walk may show a socket twice, or none, when the table changes meanwhile (shows_each_once()). Needs CAP_BPF and
/// CAP_PERFMON to load, nothing afterwards. Loading takes 3 to 5 ms; the program goes with this object.
/// Thread: one at a time.
class SocketIterator {
 public:
  /// Errors: kNotPermitted, kUnavailable; the message is what it would need ("CAP_PERFMON", "Linux 5.17 or later").
  [[nodiscard]] static base::Result<SocketIterator> load();

  /// Walks the namespace of the calling thread into `sink`, LISTEN rows first (those with half-open connections, for
  /// their number). Of connections on `listening` ports only those come that wait for accept() or are half-open by fast
  /// open. Errors: what bpf() said, kMalformed; the sink may have seen a part.
  [[nodiscard]] base::Result<WalkCost> walk(const telemetry::PortSettings& settings,
                                            const telemetry::PortSet& listening, telemetry::RowSink& sink);

 private:
  struct Unloader {
    void operator()(tw_socket_program* program) const;
  };
  using Program = std::unique_ptr<tw_socket_program, Unloader>;

  SocketIterator(Program program, Tick tick);
  [[nodiscard]] base::Result<void> read_all(int iterator, telemetry::RowSink& sink, WalkCost& cost);

  Program program_;
  Tick tick_;
  std::vector<std::byte> buffer_;
};

/// True for kernels whose iterator finds back to its place by sockets' cookies instead of by a count, and so shows each
/// socket exactly once (Linux 6.17, "bpf: tcp: Exactly-once socket iteration").
[[nodiscard]] bool shows_each_once(const KernelVersion& version);

}  // namespace tidewaiter::kernel
