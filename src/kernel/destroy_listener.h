// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "base/settings.h"
#include "kernel/diag_wire.h"
#include "telemetry/connect_hints.h"

namespace tidewaiter::kernel {

struct DestroyOptions {
  std::uint64_t receive_buffer_bytes = 4 << 20;  ///< without CAP_NET_ADMIN at most net.core.rmem_max
  std::uint64_t sockets_per_drain = 8192;        ///< how many ends are read before others get their turn
};

/// The settings of the listener, bound to `options`.
[[nodiscard]] std::vector<base::Setting> settings_of(DestroyOptions& options);

/// Hears of every TCP socket of its network namespace that comes to its end (multicast groups SKNLGRP_INET_TCP_DESTROY
/// and INET6), and folds them into hints of how connects ended. Needs no privilege and no BPF: what tier 0 knows of
/// failed connects. While it is open every socket that ends costs the kernel a message (1 to 4 us), so open it only
/// where no hook sees connects.
///
/// What the buffer did not take is lost, and counted exactly (SK_MEMINFO_DROPS): wait for descriptor() to be readable
/// and drain() it. Thread: one at a time.
class DestroyListener {
 public:
  /// Joins the groups of the calling thread's namespace. Errors: kUnavailable where the kernel has no such groups.
  [[nodiscard]] static base::Result<DestroyListener> open(const DestroyOptions& options = {});

  /// Hears a socket that is joined already, one datagram an end: for tests that play the kernel.
  [[nodiscard]] static DestroyListener over(base::FileDescriptor joined, const DestroyOptions& options = {});

  [[nodiscard]] const base::FileDescriptor& descriptor() const { return socket_; }

  /// Reads what is there, at most `sockets_per_drain`; true when more may be. Never waits. `plan`: of the last look, it
  /// tells outbound sockets. Errors: of the socket; open a new listener then. A datagram that is malformed is passed
  /// over and counted.
  [[nodiscard]] base::Result<bool> drain(const telemetry::PortPlan& plan);

  /// The hints since the last call.
  [[nodiscard]] telemetry::ConnectHints take();

  /// Datagrams that were not understood, since it was opened: there are none unless the kernel is a newer one.
  [[nodiscard]] std::uint64_t malformed() const { return malformed_; }

  /// Bytes that the kernel grants for what waits to be read.
  [[nodiscard]] std::uint64_t receive_buffer_bytes() const;

 private:
  DestroyListener() = default;
  /// Messages that the kernel could not queue, since the socket was made.
  [[nodiscard]] std::optional<std::uint32_t> dropped() const;
  void read(std::span<const std::byte> datagram, const telemetry::PortPlan& plan);

  base::FileDescriptor socket_;
  DestroyOptions options_;
  std::vector<std::byte> buffer_;
  telemetry::ConnectHintBuilder hints_;
  std::uint64_t malformed_ = 0;
  std::uint64_t overruns_ = 0;
  std::uint32_t dropped_before_ = 0;
};

}  // namespace tidewaiter::kernel
