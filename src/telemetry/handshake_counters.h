// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "telemetry/sample.h"

namespace tidewaiter::telemetry {

/// What the kernel's handshake counters did in one window. They are of the whole namespace, count packets and not
/// connects, and no counter moves on EADDRNOTAVAIL. Absent: this kernel has no such counter, one of the two looks could
/// not read it, or it went back (the name now leads to another namespace).
struct HandshakeDeltas {
  std::optional<std::uint64_t> active_opens;     ///< Tcp.ActiveOpens: first SYNs sent
  std::optional<std::uint64_t> passive_opens;    ///< Tcp.PassiveOpens: children made for listeners
  std::optional<std::uint64_t> attempt_fails;    ///< Tcp.AttemptFails: handshakes of either side that were given up
  std::optional<std::uint64_t> timeouts;         ///< TcpExt.TCPTimeouts: retransmit timers, of SYNs and of data
  std::optional<std::uint64_t> syn_retransmits;  ///< TcpExt.TCPSynRetrans: client SYNs and server SYN-ACKs, mixed

  std::optional<std::uint64_t> listen_overflows;     ///< TcpExt.ListenOverflows: SYNs and final ACKs, mixed
  std::optional<std::uint64_t> listen_drops;         ///< TcpExt.ListenDrops: those, and every other drop of a listener
  std::optional<std::uint64_t> half_open_drops;      ///< TcpExt.TCPReqQFullDrop: SYNs without room in a half-open queue
  std::optional<std::uint64_t> syncookies_received;  ///< TcpExt.SyncookiesRecv: final ACKs that carried a good cookie
};

/// Two successive looks at one namespace.
[[nodiscard]] HandshakeDeltas handshake_deltas(const Sample& before, const Sample& after);

/// Packets that the listeners of `after` dropped since `before` by their own account (SK_MEMINFO_DROPS): a SYN counts
/// once, a final ACK twice. A listener that is new, or made anew, counts all it has; what one dropped that has closed
/// since is lost. Absent: some listener does not tell.
[[nodiscard]] std::optional<std::uint64_t> listener_drops_between(const Sample& before, const Sample& after);

/// What the listeners of a namespace dropped in one window, as far as it was counted.
struct ListenerDropCounts {
  HandshakeDeltas counters;
  std::optional<std::uint64_t> by_listeners;  ///< listener_drops_between()
  std::optional<std::uint64_t> final_acks;    ///< kfree_skb events of reason TCP_LISTEN_OVERFLOW; absent: no such hook
  std::uint64_t ahead = 0;                    ///< ListenerDrops::ahead of the window before
};

/// The same by what was dropped. A dropped SYN is sent again by its client, which is only late; with a dropped final
/// ACK the client believes itself connected and waits for a server that does not know it.
struct ListenerDrops {
  std::optional<std::uint64_t> dropped_syns;        ///< SYNs that found the accept queue full
  std::optional<std::uint64_t> dropped_final_acks;  ///< final ACKs of a handshake that did
  std::optional<std::uint64_t> half_open_full;      ///< SYNs that found the half-open queue full
  std::optional<std::uint64_t> otherwise;           ///< the last quarter of tcp_max_syn_backlog, or no memory

  /// Without the hook: what the listeners' own account makes of it, at most the overflows. Counts too many where a SYN
  /// of a half-open connection is repeated (its listener counts that), and is off by what happens between the readings.
  std::optional<std::uint64_t> estimated_final_acks;

  std::uint64_t ahead = 0;  ///< final ACKs that the hook saw before the counters did: for the next window
  std::map<std::string, std::string> absent;
};

/// Splits the overflows: a final ACK that is dropped raises the event and both counters, a SYN raises the counters
/// alone (net/ipv4/tcp_ipv4.c, tcp_v4_syn_recv_sock; tcp_input.c, tcp_conn_request). Read the hook after the counters:
/// what it saw in between is carried over, so that over many windows dropped_syns + dropped_final_acks =
/// ListenOverflows. A final ACK that carried a syncookie is dropped without that event: in a window with any of them
/// the split is known only when no overflow is left over.
[[nodiscard]] ListenerDrops split_listener_drops(const ListenerDropCounts& counts);

}  // namespace tidewaiter::telemetry
