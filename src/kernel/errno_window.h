// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/instant.h"
#include "base/result.h"
#include "kernel/bpf_program.h"

namespace tidewaiter::kernel {

/// The number by which perf_event_open() knows a tracepoint, "syscalls/sys_exit_connect". It stands in tracefs: in
/// `trace_files`, or where the system has mounted it, or in one that this process mounts for itself and nobody else
/// sees (needs CAP_SYS_ADMIN). Errors: kUnavailable with what is missing.
[[nodiscard]] base::Result<std::uint64_t> tracepoint_number(const std::string& name, const std::string& trace_files);

/// A look at the exits of connect(), which tell why it failed before SYN_SENT. While it is open every system call of
/// the host takes some 10 ns longer. Thread: one at a time.
class ErrnoWindow {
 public:
  /// `program` runs at each exit. Tries once whether that can be had. Errors: kUnavailable with what is missing.
  [[nodiscard]] static base::Result<ErrnoWindow> prepare(bpf_program* program, const std::string& trace_files);

  /// Errors: as prepare().
  [[nodiscard]] base::Result<void> open();
  void close() { link_.reset(); }
  [[nodiscard]] bool is_open() const { return link_ != nullptr; }

 private:
  ErrnoWindow(bpf_program* program, std::uint64_t tracepoint) : program_(program), tracepoint_(tracepoint) {}

  bpf_program* program_;
  std::uint64_t tracepoint_;
  BpfLink link_;
};

/// When the window is worth its price: while connects fail before SYN_SENT, for two seconds at a time and at most once
/// in ten. Pure.
class ErrnoWindowPolicy {
 public:
  static constexpr base::Nanoseconds kOpenFor = base::Seconds(2);
  static constexpr base::Nanoseconds kApart = base::Seconds(10);  ///< from one opening to the next

  /// `unattributed`: connects that failed before SYN_SENT for a reason unknown, since the beginning.
  [[nodiscard]] bool should_open(std::uint64_t unattributed, base::Instant now);

 private:
  std::uint64_t seen_ = 0;
  std::optional<base::Instant> opened_;
};

}  // namespace tidewaiter::kernel
