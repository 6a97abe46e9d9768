// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/instant.h"
#include "base/result.h"
#include "kernel/connect_options.h"
#include "kernel/network_namespace.h"
#include "kernel/source_table.h"
#include "telemetry/connects.h"

namespace tidewaiter::kernel {

/// Every TCP connect of one network namespace, seen by BPF programs as it happens: unmodified programs, io_uring, fast
/// open and MPTCP included. Counts are exact; what was lost is counted. The programs go with this object, or its
/// process. Needs CAP_BPF and CAP_PERFMON (tracepoints) or CAP_BPF and CAP_NET_ADMIN (cgroup); with all three, failures
/// before SYN_SENT too. docs/design/connects.md has the reasons. Thread: one at a time. Move-only.
class ConnectProbe {
 public:
  using Visitor = std::function<void(const telemetry::ConnectEvent&)>;

  /// Attaches what can be attached, each program tried by a real load, and adds a row per source to `table`.
  /// Errors: kNotPermitted or kUnavailable when no hook could be attached; the table says what each needs.
  [[nodiscard]] static base::Result<ConnectProbe> attach(const NetworkNamespace& network_namespace,
                                                         const ConnectProbeOptions& options, SourceTable& table);
  ConnectProbe(ConnectProbe&&) noexcept;
  ConnectProbe& operator=(ConnectProbe&&) noexcept;
  ~ConnectProbe();

  /// Looks at another namespace from now on. What was counted stays.
  [[nodiscard]] base::Result<void> watch(const NetworkNamespace& network_namespace);

  /// For the caller's epoll: readable when a connect failed for a reason of this host (at most once a millisecond), or
  /// when many events wait.
  [[nodiscard]] int descriptor() const;

  /// Hands over the events that wait. Returns their number.
  std::uint64_t drain(const Visitor& visit);

  /// The totals of every tuple, since attach(). Failures before SYN_SENT are told when their thread connects again, or
  /// a second later. Errors: what bpf() said.
  [[nodiscard]] base::Result<telemetry::ConnectReading> read(base::Instant now);

  /// True when final ACKs that found an accept queue full are counted.
  [[nodiscard]] bool sees_dropped_acks() const;

  /// Looks at the exits of connect() for two seconds, which tells why connects fail before SYN_SENT; some 10 ns on
  /// every system call of the host. read() does it by itself while such failures go on; drain(), which the descriptor
  /// calls for, or read() ends it. Errors: not available here.
  [[nodiscard]] base::Result<void> open_errno_window(base::Instant now);

 private:
  class Reader;
  explicit ConnectProbe(std::unique_ptr<Reader> reader);
  std::unique_ptr<Reader> reader_;
};

}  // namespace tidewaiter::kernel
