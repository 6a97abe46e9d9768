// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/instant.h"
#include "base/result.h"
#include "kernel/connect_canary.h"
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
  /// a second later. While there are any it looks at the exits of connect() too, two seconds at a time, which tells why
  /// (ErrnoWindow); drain(), which the descriptor calls for, or read() ends that. Errors: what bpf() said.
  [[nodiscard]] base::Result<telemetry::ConnectReading> read(base::Instant now);

  /// True when final ACKs that found an accept queue full are counted.
  [[nodiscard]] bool sees_dropped_acks() const;

  /// Makes a connect of its own when one is due (`canary_every`), inside the namespace that is watched: where the
  /// programs do not see it, they see nobody's. It is in no count and no event. Never waits.
  void test_hooks(const NetworkNamespace& network_namespace, base::Instant now);

  /// What came of that.
  [[nodiscard]] const ConnectCanary& canary() const;

 private:
  class Reader;
  explicit ConnectProbe(std::unique_ptr<Reader> reader);
  std::unique_ptr<Reader> reader_;
};

}  // namespace tidewaiter::kernel
