// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/instant.h"
#include "telemetry/address.h"
#include "telemetry/port_list.h"
#include "telemetry/port_plan.h"
#include "telemetry/wait_distribution.h"

namespace tidewaiter::telemetry {

/// A destination tuple. Ports are a resource of each: one local port may serve many tuples.
struct Tuple {
  Address source;
  Address destination;
  std::uint16_t destination_port = 0;

  friend auto operator<=>(const Tuple&, const Tuple&) = default;
};

/// Sockets of one tuple at one look, as counts over usable ports. Source of every figure: docs/design/ports.md.
struct TupleCounts {
  std::uint32_t live = 0;
  std::uint32_t live_preferred = 0;
  std::uint32_t time_wait = 0;  ///< TIME_WAIT and FIN_WAIT2 mini-sockets, reusable ones included
  std::uint32_t time_wait_preferred = 0;
  std::uint32_t time_wait_reusable = 0;
  std::uint32_t time_wait_reusable_preferred = 0;
  std::optional<std::uint32_t> next_release_ms;  ///< until the next TIME_WAIT is due; absent: none is waited for
  std::uint32_t outside_range = 0;  ///< on ports that connect() never gives: outside the range, or reserved
  std::uint32_t syn_sent = 0;
  std::uint32_t syn_retransmitted = 0;  ///< of syn_sent: sockets whose SYN was sent more than once
};

/// All of one tuple at one look.
struct TupleSample {
  Tuple tuple;
  TupleCounts counts;
  PortList ports;  ///< one entry per usable port in use, in no order
};

/// One listening address and port; the sockets of an SO_REUSEPORT group are summed.
struct ListenerSample {
  Address address;
  std::uint16_t port = 0;
  std::uint32_t sockets = 0;
  std::uint32_t accept_queue = 0;
  std::uint32_t accept_limit = 0;  ///< the queue admits one more than this per socket
  std::optional<std::uint32_t> half_open;
  std::optional<std::uint32_t> drops;
  /// Accept lateness. Absent: nobody waits (`accept_queue` is 0), or nobody could be asked for how long.
  std::optional<WaitDistribution> waits;
};

/// Where a look has its connections from.
enum class LookSource : std::uint8_t {
  kSockDiag,  ///< a dump of the socket table
  kIterator,  ///< a BPF iterator over it
};

/// As in documents: "sock_diag", "bpf_iter".
[[nodiscard]] std::string_view name(LookSource source);

/// What a look cost, and what went wrong on the way.
struct LookCost {
  base::Nanoseconds wall{0};
  base::Nanoseconds cpu{0};       ///< of the calling thread, kernel and user
  base::Nanoseconds kernel{0};    ///< the part of `wall` inside system calls of the dumps
  std::uint64_t sockets = 0;      ///< rows that the kernel sent
  std::uint32_t passes = 0;       ///< walks of the socket table
  std::uint32_t interrupted = 0;  ///< dumps that had to start again: table changed too much, or the buffer overran
  std::uint32_t repeated = 0;     ///< sockets that one walk showed more than once, and that count once

  /// Processor time of the last walk by each source, with the folding of what it showed; a source without a walk yet is
  /// not in it.
  std::map<LookSource, base::Nanoseconds> walk_cpu;
};

/// A census that events keep up to date: what they came to since it was first begun.
struct LedgerTotals {
  std::uint64_t dumps = 0;
  std::uint64_t changes = 0;   ///< events taken in
  std::uint64_t lost = 0;      ///< events that were not told; each brings a dump
  std::uint64_t missing = 0;   ///< sockets that dumps found and the ledger had not
  std::uint64_t phantoms = 0;  ///< sockets that the ledger had and dumps did not find
};

/// The kernel that was looked at.
struct KernelIdentity {
  std::string release;         ///< version without the distributor's suffix: "6.18.44"
  std::optional<unsigned> hz;  ///< ticks per second
};

/// One look at one network namespace.
struct Sample {
  base::Moment at{};
  std::string netns = "self";
  LookSource source = LookSource::kSockDiag;
  PortPlan plan;
  std::vector<TupleSample> tuples;        ///< sorted by tuple
  std::vector<ListenerSample> listeners;  ///< sorted by port, then address
  std::uint32_t in_range = 0;             ///< sockets of any kind on ports of the range
  std::uint32_t in_range_time_wait = 0;   ///< of those: TIME_WAIT and FIN_WAIT2 mini-sockets
  KernelIdentity kernel;
  std::map<std::string, std::optional<std::int64_t>> settings;  ///< by sysctl name; absent: this kernel has none
  std::map<std::string, std::optional<std::int64_t>>
      counters;  ///< of the namespace, since it was made: "TcpExt.ListenDrops"
  LookCost cost;
  std::optional<LedgerTotals> ledger;         ///< absent: a dump alone
  std::map<std::string, std::string> absent;  ///< what this look could not tell: field → reason
};

}  // namespace tidewaiter::telemetry

template <>
struct std::hash<tidewaiter::telemetry::Tuple> {
  std::size_t operator()(const tidewaiter::telemetry::Tuple& tuple) const noexcept {
    // Multiply-and-fold of the five words (the mixing step of wyhash); addresses differ in few bits.
    __extension__ using Wide = unsigned __int128;
    std::uint64_t state = 0x9e3779b97f4a7c15ULL ^ tuple.destination_port;
    for (const std::uint64_t word :
         {tuple.source.high(), tuple.source.low(), tuple.destination.high(), tuple.destination.low()}) {
      const Wide product = static_cast<Wide>(state ^ word) * 0xd6e8feb86659fd93ULL;
      state = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    }
    return state;
  }
};
