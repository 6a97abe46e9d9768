// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "telemetry/address.h"
#include "telemetry/port_set.h"

namespace tidewaiter::telemetry {

/// When connect() may take a port whose TIME_WAIT still runs (`tcp_tw_reuse`).
enum class TimeWaitReuse : std::uint8_t { kNever = 0, kAlways = 1, kLoopbackOnly = 2 };

/// What the kernel was told about local ports: the input of a plan.
struct PortSettings {
  std::uint16_t lo = 32'768;
  std::uint16_t hi = 60'999;  ///< inclusive, ≥ lo
  PortSet reserved;           ///< ip_local_reserved_ports, the whole list
  TimeWaitReuse reuse = TimeWaitReuse::kNever;
  std::uint32_t reuse_delay_ms = 1'000;  ///< tcp_tw_reuse_delay; one second before Linux 6.14
  bool timestamps = true;                ///< tcp_timestamps: without them nothing is reusable

  friend bool operator==(const PortSettings&, const PortSettings&) = default;
};

/// TIME_WAIT lasts 60 s on Linux, fixed at compile time (TCP_TIMEWAIT_LEN).
inline constexpr std::uint32_t kTimeWaitMs = 60'000;

/// The local ports that connect() can give to one (source, destination), as sets.
///
/// usable = [lo, hi] without reserved and without locked ports. `connect()` tries the ports with the parity of `lo`
/// first ("preferred"), then the others (docs/design/ports.md).
class PortPlan {
 public:
  /// The plan of the kernel's defaults, nothing reserved, nothing locked.
  PortPlan();

  /// `owned`: ports that connect() skips for every destination because a listener or a bound idle socket owns their
  /// bind bucket; only those inside the range and not reserved count as locked.
  PortPlan(const PortSettings& settings, const PortSet& owned);

  [[nodiscard]] const PortSettings& settings() const { return settings_; }
  [[nodiscard]] bool is_in_range(std::uint16_t port) const { return port >= settings_.lo && port <= settings_.hi; }
  [[nodiscard]] bool is_usable(std::uint16_t port) const { return usable_.test(port); }
  [[nodiscard]] const PortSet& usable() const { return usable_; }
  [[nodiscard]] bool is_preferred(std::uint16_t port) const { return ((port ^ settings_.lo) & 1) == 0; }

  [[nodiscard]] std::uint32_t size() const { return 1U + settings_.hi - settings_.lo; }
  [[nodiscard]] std::uint32_t reserved() const { return reserved_; }  ///< reserved ports inside the range
  [[nodiscard]] std::uint32_t locked() const { return locked_; }
  [[nodiscard]] std::uint32_t capacity() const { return size() - reserved_ - locked_; }
  [[nodiscard]] std::uint32_t preferred_capacity() const { return preferred_capacity_; }

  /// True when connect() between these addresses may take over a TIME_WAIT that has `remaining_ms` left. Assumes that
  /// the closed connection had timestamps, which no interface shows.
  [[nodiscard]] bool is_reusable(const Address& source, const Address& destination, std::uint32_t remaining_ms) const {
    return settings_.reuse != TimeWaitReuse::kNever && is_reuse_allowed(source, destination) &&
           kTimeWaitMs - (remaining_ms < kTimeWaitMs ? remaining_ms : kTimeWaitMs) > settings_.reuse_delay_ms;
  }

  /// True when TIME_WAITs between these addresses become reusable at some age below 60 s.
  [[nodiscard]] bool is_reuse_allowed(const Address& source, const Address& destination) const;

 private:
  PortSettings settings_;
  PortSet usable_;
  std::uint32_t reserved_ = 0;
  std::uint32_t locked_ = 0;
  std::uint32_t preferred_capacity_ = 0;
};

}  // namespace tidewaiter::telemetry
