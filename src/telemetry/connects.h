// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/instant.h"
#include "telemetry/features.h"
#include "telemetry/latency_counts.h"
#include "telemetry/sample.h"

namespace tidewaiter::telemetry {

/// How a connect ended that was not established. docs/design/connects.md says how each is told.
enum class ConnectCause : std::uint8_t {
  kTimeout,           ///< the kernel gave up, or the application did after a retransmit of the SYN or a second
  kAddrNotAvailable,  ///< no local port was free, or the socket's own one was taken for this destination
  kAddrInUse,
  kRefused,
  kReset,        ///< during the handshake
  kUnreachable,  ///< by ICMP, or without a route
  kDenied,       ///< by a cgroup program, or EPERM
  kResources,    ///< no memory, no buffers
  kAborted,      ///< the application gave up early: no failure
  kOther,
};
inline constexpr std::size_t kConnectCauses = static_cast<std::size_t>(ConnectCause::kOther) + 1;

/// As in documents and metrics: "addr_not_available".
[[nodiscard]] std::string_view name(ConnectCause cause);

/// This host runs short: no port, no memory. It drives the port stress of a tuple, and does not wait for a window.
[[nodiscard]] bool is_local(ConnectCause cause);

/// The peer's doing, or the way's: time-out, refused, reset, unreachable. What is neither this nor local is denied by a
/// rule, unknown, or no failure at all (kAborted).
[[nodiscard]] bool is_peers(ConnectCause cause);

/// What became of the connects to one destination, since its source began to count. A connect() that fails before a
/// source address is chosen has a tuple with the unspecified source.
struct ConnectTotals {
  std::uint64_t attempts = 0;  ///< logical connects; one-port probes that found their port taken are none
  std::uint64_t established = 0;
  std::array<std::uint64_t, kConnectCauses> ended{};  ///< by ConnectCause
  std::uint64_t port_probes = 0;
  std::uint64_t collisions = 0;            ///< of addr_not_available: the socket had a port of its own
  std::uint64_t pre_syn_unattributed = 0;  ///< failed before SYN_SENT for a reason that was not seen; attempts too
  std::uint64_t prohibited = 0;            ///< of unreachable: the route forbids it
  std::uint64_t syn_retransmits = 0;
  std::uint64_t retries = 0;          ///< of attempts: answers to a failure of the same process within 5 s
  std::uint64_t inferred = 0;         ///< outcomes told from what was left of the socket
  base::Nanoseconds connect_time{0};  ///< sum over the established
  base::Nanoseconds search_time{0};   ///< sum of port searches, failed ones included
  LatencyCounts connect;              ///< start to established
  LatencyCounts given_up;             ///< start to any other end
  LatencyCounts search;               ///< start to SYN handed down, or to EADDRNOTAVAIL

  [[nodiscard]] std::uint64_t count(ConnectCause cause) const { return ended[static_cast<std::size_t>(cause)]; }

  /// Failures by whose doing they are. Those before SYN_SENT without a known reason are the peers': most have no route.
  [[nodiscard]] std::uint64_t failed_local() const;
  [[nodiscard]] std::uint64_t failed_peer() const;
  [[nodiscard]] std::uint64_t failed_other() const {
    return count(ConnectCause::kDenied) + count(ConnectCause::kOther);
  }

  ConnectTotals& operator+=(const ConnectTotals& other);

  /// What happened between two readings. Counters never fall; a source that began anew is read as having begun at 0.
  friend ConnectTotals operator-(const ConnectTotals& later, const ConnectTotals& earlier);
  friend bool operator==(const ConnectTotals&, const ConnectTotals&) = default;
};

/// Handshakes that a listener's side had trouble with, since the source began. The address of dropped final ACKs is not
/// known: they are in rows with the unspecified one.
struct ListenerHandshakes {
  Address address;
  std::uint16_t port = 0;
  std::uint64_t synack_retransmits = 0;
  std::uint64_t dropped_final_acks = 0;  ///< the accept queue was full when the handshake completed
};

/// All totals of one namespace at one time.
struct ConnectReading {
  struct Entry {
    Tuple tuple;
    ConnectTotals totals;
  };
  base::Instant at{};
  std::vector<Entry> tuples;           ///< sorted by tuple
  std::optional<ConnectTotals> other;  ///< connects of tuples that found no room; absent: there were none
  std::vector<ListenerHandshakes> listeners;
  std::map<std::string, std::uint64_t> lost;  ///< by where, since the source began

  [[nodiscard]] const ConnectTotals* find(const Tuple& tuple) const;
};

/// A connect that failed, took long, or is a retry that begins.
struct ConnectEvent {
  enum class Kind : std::uint8_t { kFailed, kSlow, kRetry };

  base::Instant at{};  ///< of the outcome; of the start for a retry
  base::Nanoseconds elapsed{0};
  Tuple tuple;
  std::uint32_t pid = 0;
  std::string command;  ///< name of the process, up to 15 bytes
  Kind kind = Kind::kFailed;
  ConnectCause cause = ConnectCause::kOther;  ///< of failures
  std::uint32_t syn_retransmits = 0;

  /// A failure of this host's own: does not wait for the end of the window.
  [[nodiscard]] bool is_guard() const { return kind == Kind::kFailed && is_local(cause); }
};

}  // namespace tidewaiter::telemetry
