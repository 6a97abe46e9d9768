// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "base/settings.h"
#include "kernel/network_namespace.h"
#include "kernel/source_table.h"
#include "telemetry/connects.h"

namespace tidewaiter::kernel {

/// Which hooks look at connects.
enum class ConnectHooks : std::uint8_t {
  kAutomatic,  ///< the best that this kernel and these capabilities allow
  kOff,
};

struct ConnectProbeOptions {
  ConnectHooks hooks = ConnectHooks::kAutomatic;
  base::Nanoseconds slow = base::Milliseconds(50);      ///< a connect that took longer is an event
  std::uint64_t max_tuples = 1024;                      ///< counted one by one; 3 KB each, in the kernel
  base::Nanoseconds retire_after = base::Seconds(600);  ///< idle tuples make room when the table is three quarters full
};

/// The settings of the probe, bound to `options`.
[[nodiscard]] std::vector<base::Setting> settings_of(ConnectProbeOptions& options);

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

  /// The totals of every tuple, since attach(). Failures before SYN_SENT are told when their thread connects
  /// again, or a second later. Errors: what bpf()
  /// said.
  [[nodiscard]] base::Result<telemetry::ConnectReading> read(base::Instant now);

  /// True when final ACKs that found an accept queue full are counted.
  [[nodiscard]] bool sees_dropped_acks() const;

  /// Opens or closes the look at the exits of connect(), which tells why connects fail before SYN_SENT. Costs some
  /// 10 ns on every connect(); read() closes it by itself after two seconds. Errors: not available here.
  [[nodiscard]] base::Result<void> open_errno_window(base::Instant now);

 private:
  class Programs;
  explicit ConnectProbe(std::unique_ptr<Programs> programs);
  std::unique_ptr<Programs> programs_;
};

}  // namespace tidewaiter::kernel
