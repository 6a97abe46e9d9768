// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "base/instant.h"
#include "base/result.h"
#include "kernel/network_namespace.h"
#include "telemetry/port_set.h"
#include "telemetry/socket_ledger.h"

namespace tidewaiter::kernel {

/// Who takes and leaves local ports in one network namespace, as BPF programs tell it. Costs nothing while stopped, and
/// while running about 0.1 µs a change. Needs CAP_BPF, CAP_PERFMON and the kernel's BTF (Linux 5.14).
/// Thread: one at a time. Move-only.
class SocketChanges {
 public:
  using Visitor = std::function<void(const telemetry::SocketChange&)>;

  /// The kernel's tick counter, and when it was read.
  struct Ticks {
    base::Instant at;
    std::uint64_t count = 0;
  };

  /// Loads the programs, and tries whether they can be attached. Errors: kUnavailable with what is missing.
  [[nodiscard]] static base::Result<SocketChanges> load();
  SocketChanges(SocketChanges&&) noexcept;
  SocketChanges& operator=(SocketChanges&&) noexcept;
  ~SocketChanges();

  /// From now on changes of this namespace are kept for drain(), but for those of the local ports in `left_out`. What
  /// was kept before is forgotten. Errors: what bpf() said.
  [[nodiscard]] base::Result<void> start(const NetworkNamespace& network_namespace, const telemetry::PortSet& left_out);
  void stop();
  [[nodiscard]] bool is_running() const;

  /// For the caller's epoll: readable when many changes wait. Stays the same.
  [[nodiscard]] int descriptor() const;

  /// Hands over the changes that wait, in their order on each processor. Returns their number.
  std::uint64_t drain(const Visitor& visit);

  /// Changes that were not told since load(): the ring was full, or a program was interrupted by an event of its own.
  [[nodiscard]] std::uint64_t lost() const;

  /// Absent: this kernel does not tell.
  [[nodiscard]] std::optional<Ticks> read_ticks() const;

 private:
  class Programs;
  explicit SocketChanges(std::unique_ptr<Programs> programs);
  std::unique_ptr<Programs> programs_;
};

}  // namespace tidewaiter::kernel
