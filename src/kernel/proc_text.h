// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "telemetry/port_plan.h"

namespace tidewaiter::kernel {

/// One unsigned decimal number, white space around it allowed. Errors: kMalformed.
[[nodiscard]] base::Result<std::uint64_t> parse_number(std::string_view text);

/// `ip_local_port_range`: "32768\t60999". Errors: kMalformed; also when lo > hi or a port is above 65535.
[[nodiscard]] base::Result<std::pair<std::uint16_t, std::uint16_t>> parse_port_range(std::string_view text);

/// `ip_local_reserved_ports`: "8080,9000-9100", or nothing. Errors: kMalformed.
[[nodiscard]] base::Result<telemetry::PortSet> parse_port_list(std::string_view text);

/// Named counters of /proc/net: "TcpExt.ListenDrops" → value. A name that the file does not have is absent.
class Counters {
 public:
  [[nodiscard]] std::optional<std::int64_t> get(std::string_view name) const;
  [[nodiscard]] std::size_t size() const { return values_.size(); }
  void set(std::string name, std::int64_t value) { values_.insert_or_assign(std::move(name), value); }

  /// Adds all of `other`; on the same name `other` wins.
  void merge(Counters other);

 private:
  std::map<std::string, std::int64_t, std::less<>> values_;
};

/// /proc/net/snmp and /proc/net/netstat: pairs of lines, names above values. Names without a value and values without
/// a name are left out, so that a kernel with fewer columns degrades to absent. Errors: kMalformed when a line of
/// names has no line of values, when the prefixes differ, or when a value is no number.
[[nodiscard]] base::Result<Counters> parse_counter_pairs(std::string_view text);

/// /proc/net/sockstat and sockstat6: "TCP: inuse 5 orphan 0 …" → "TCP.inuse". Errors: kMalformed.
[[nodiscard]] base::Result<Counters> parse_sockstat(std::string_view text);

}  // namespace tidewaiter::kernel
