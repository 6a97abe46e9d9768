// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "kernel/proc_text.h"
#include "telemetry/port_plan.h"

namespace tidewaiter::kernel {

/// Reads a small file whole. The seam between the parsers and /proc: tests hand in recorded texts.
using ReadFile = std::function<base::Result<std::string>(const std::string& path)>;

/// Reads from the real file system; /proc paths answer for the calling thread's network namespace.
[[nodiscard]] base::Result<std::string> read_file(const std::string& path);

/// TCP settings of one network namespace. What this kernel does not have, or what cannot be read, is absent, with the
/// reason in `absent`.
struct NetworkSettings {
  std::optional<std::pair<std::uint16_t, std::uint16_t>> port_range;
  std::optional<telemetry::PortSet> reserved_ports;
  std::optional<std::uint64_t> tw_reuse;
  std::optional<std::uint64_t> tw_reuse_delay_ms;  ///< Linux 6.14+; before: one second, not settable
  std::optional<std::uint64_t> timestamps;
  std::optional<std::uint64_t> max_tw_buckets;
  std::optional<std::uint64_t> somaxconn;
  std::optional<std::uint64_t> max_syn_backlog;
  std::optional<std::uint64_t> syncookies;
  std::optional<std::uint64_t> synack_retries;
  std::optional<std::uint64_t> syn_retries;
  std::optional<std::uint64_t> syn_linear_timeouts;  ///< Linux 6.5+
  std::optional<std::uint64_t> abort_on_overflow;
  std::optional<std::uint64_t> fin_timeout_s;
  std::map<std::string, std::string> absent;  ///< sysctl name → reason

  /// The settings that are one number, by the kernel's name for them.
  [[nodiscard]] std::map<std::string, std::optional<std::int64_t>> numbers() const;

  /// What a port plan needs. Errors: kUnavailable when the port range is not known. Reuse that is not known counts as
  /// none, so that no room is shown that may not be there; reserved ports that are not known count as none too, and
  /// `absent` says so.
  [[nodiscard]] base::Result<telemetry::PortSettings> port_settings() const;
};

[[nodiscard]] NetworkSettings read_network_settings(const ReadFile& read = read_file);

/// Counters of the calling thread's namespace: snmp, netstat, sockstat, sockstat6. A file that is missing or malformed
/// leaves its counters out and says so in `absent`.
struct NetworkCounters {
  Counters values;
  std::map<std::string, std::string> absent;  ///< file → reason
};
[[nodiscard]] NetworkCounters read_network_counters(const ReadFile& read = read_file);

/// Of those the ones that tell of ports and handshakes, each present or absent.
[[nodiscard]] std::map<std::string, std::optional<std::int64_t>> handshake_counters(const Counters& counters);

}  // namespace tidewaiter::kernel
