// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace tidewaiter::telemetry {

/// Logical connects and how they ended. Refusals by our own budgets are in none of these.
struct ConnectCounts {
  std::uint32_t attempts = 0;
  std::uint32_t failed_local = 0;  ///< EADDRNOTAVAIL, EADDRINUSE, EAGAIN, EMFILE, ENOBUFS: this host runs short
  std::uint32_t failed_peer = 0;   ///< time-out, refused, reset, unreachable
  std::uint32_t failed_other = 0;  ///< denied by a rule of this host, or for a reason that nobody knows

  [[nodiscard]] std::uint32_t failed() const { return failed_local + failed_peer + failed_other; }

  ConnectCounts& operator+=(const ConnectCounts& other) {
    attempts += other.attempts;
    failed_local += other.failed_local;
    failed_peer += other.failed_peer;
    failed_other += other.failed_other;
    return *this;
  }
  friend bool operator==(const ConnectCounts&, const ConnectCounts&) = default;
};

/// A 95th percentile with the number of events behind it.
struct Percentile {
  double p95_us = 0;
  std::uint32_t count = 0;
};

/// What one window showed of one tuple. Absent: no source gives it, or nothing happened that it could be told from.
struct Features {
  std::optional<double> ppr;            ///< port pressure ratio
  std::optional<double> ppr_preferred;  ///< the same over the parity that connect() tries first
  std::optional<double> twr;            ///< TIME_WAIT ratio

  std::optional<ConnectCounts> connects;         ///< of this window
  std::optional<ConnectCounts> pooled_connects;  ///< back to 20 attempts, at most 30 s (ConnectPool)

  std::optional<Percentile> connect_time;      ///< CTL95, pooled likewise
  std::optional<Percentile> port_search_time;  ///< the part of it before the SYN, pooled likewise
  std::optional<Percentile> send_delay;        ///< DSD95: decision to send attempt, net of the gate's own delay
  std::optional<double> burst_index;           ///< RBI, headline
  std::optional<double> retry_queue_depth;     ///< retries waiting, scheduled or firing
  std::optional<double> reconnects_per_s;      ///< new connects to a tuple that had a session within 60 s
};

}  // namespace tidewaiter::telemetry
