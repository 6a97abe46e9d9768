// SPDX-License-Identifier: Apache-2.0
#include "kernel/network_settings.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "base/file_descriptor.h"

namespace tidewaiter::kernel {
namespace {

constexpr std::string_view kDirectory = "/proc/sys/net/ipv4/";
constexpr std::size_t kLongestFileBytes = 4 << 20;

struct NumberSetting {
  std::string_view file;
  std::optional<std::uint64_t> NetworkSettings::*field;
};

constexpr std::array<NumberSetting, 11> kNumbers{{
    {"tcp_tw_reuse", &NetworkSettings::tw_reuse},
    {"tcp_tw_reuse_delay", &NetworkSettings::tw_reuse_delay_ms},
    {"tcp_timestamps", &NetworkSettings::timestamps},
    {"tcp_max_tw_buckets", &NetworkSettings::max_tw_buckets},
    {"tcp_max_syn_backlog", &NetworkSettings::max_syn_backlog},
    {"tcp_syncookies", &NetworkSettings::syncookies},
    {"tcp_synack_retries", &NetworkSettings::synack_retries},
    {"tcp_syn_retries", &NetworkSettings::syn_retries},
    {"tcp_syn_linear_timeouts", &NetworkSettings::syn_linear_timeouts},
    {"tcp_abort_on_overflow", &NetworkSettings::abort_on_overflow},
    {"tcp_fin_timeout", &NetworkSettings::fin_timeout_s},
}};

/// Reads and parses one file into `field`, or notes why not.
template <class Value, class Parse>
void take(const ReadFile& read, const std::string& path, std::string_view name, Parse parse,
          std::optional<Value>& field, std::map<std::string, std::string>& absent) {
  const auto text = read(path);
  if (!text) {
    absent.emplace(name, text.error().message());
    return;
  }
  auto value = parse(*text);
  if (value) {
    field = std::move(*value);
  } else {
    absent.emplace(name, value.error().message());
  }
}

}  // namespace

base::Result<std::string> read_file(const std::string& path) {
  const base::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return base::fail_errno(errno, path);
  std::string text;
  std::array<char, 16'384> buffer;  // NOLINT: filled by read
  while (text.size() < kLongestFileBytes) {
    const ssize_t length = ::read(file.get(), buffer.data(), buffer.size());
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return base::fail_errno(errno, path);
    if (length == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(length));
  }
  return base::fail(base::ErrorCode::kMalformed, path + ": longer than 4 MiB");
}

std::map<std::string, std::optional<std::int64_t>> NetworkSettings::numbers() const {
  std::map<std::string, std::optional<std::int64_t>> numbers;
  const auto add = [&](std::string_view name, const std::optional<std::uint64_t>& value) {
    numbers.emplace(name, value ? std::optional(static_cast<std::int64_t>(*value)) : std::nullopt);
  };
  add("somaxconn", somaxconn);
  for (const auto& [file, field] : kNumbers) add(file, this->*field);
  return numbers;
}

base::Result<telemetry::PortSettings> NetworkSettings::port_settings() const {
  if (!port_range) {
    const auto reason = absent.find("ip_local_port_range");
    return base::fail(base::ErrorCode::kUnavailable,
                      "the local port range is not known" + (reason == absent.end() ? "" : ": " + reason->second),
                      "is /proc mounted, and does this namespace have IPv4?");
  }
  telemetry::PortSettings settings;
  settings.lo = port_range->first;
  settings.hi = port_range->second;
  if (reserved_ports) settings.reserved = *reserved_ports;
  if (tw_reuse == 1) settings.reuse = telemetry::TimeWaitReuse::kAlways;
  if (tw_reuse == 2) settings.reuse = telemetry::TimeWaitReuse::kLoopbackOnly;
  if (tw_reuse_delay_ms)
    settings.reuse_delay_ms =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(*tw_reuse_delay_ms, telemetry::kTimeWaitMs));
  settings.timestamps = timestamps.value_or(0) != 0;
  return settings;
}

NetworkSettings read_network_settings(const ReadFile& read) {
  NetworkSettings settings;
  const std::string directory(kDirectory);
  take(read, directory + "ip_local_port_range", "ip_local_port_range", parse_port_range, settings.port_range,
       settings.absent);
  take(read, directory + "ip_local_reserved_ports", "ip_local_reserved_ports", parse_port_list, settings.reserved_ports,
       settings.absent);
  take(read, "/proc/sys/net/core/somaxconn", "somaxconn", parse_number, settings.somaxconn, settings.absent);
  for (const auto& [file, field] : kNumbers) {
    take(read, directory + std::string(file), file, parse_number, settings.*field, settings.absent);
  }
  return settings;
}

NetworkCounters read_network_counters(const ReadFile& read) {
  NetworkCounters counters;
  const auto add = [&](const char* file, auto parse) {
    std::optional<Counters> values;
    take(read, std::string("/proc/thread-self/net/") + file, file, parse, values, counters.absent);
    if (values) counters.values.merge(std::move(*values));
  };
  add("snmp", parse_counter_pairs);
  add("netstat", parse_counter_pairs);
  add("sockstat", parse_sockstat);
  add("sockstat6", parse_sockstat);
  return counters;
}

std::map<std::string, std::optional<std::int64_t>> handshake_counters(const Counters& counters) {
  std::map<std::string, std::optional<std::int64_t>> chosen;
  for (const char* name :
       {"Tcp.ActiveOpens", "Tcp.PassiveOpens", "Tcp.AttemptFails", "TcpExt.ListenOverflows", "TcpExt.ListenDrops",
        "TcpExt.TCPReqQFullDrop", "TcpExt.TCPReqQFullDoCookies", "TcpExt.SyncookiesSent", "TcpExt.SyncookiesRecv",
        "TcpExt.SyncookiesFailed", "TcpExt.TCPSynRetrans", "TcpExt.TCPTimeouts", "TcpExt.TCPTimeWaitOverflow",
        "TcpExt.TWRecycled"}) {
    chosen.emplace(name, counters.get(name));
  }
  return chosen;
}

}  // namespace tidewaiter::kernel
