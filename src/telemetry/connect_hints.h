// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "telemetry/port_plan.h"
#include "telemetry/sample.h"

namespace tidewaiter::telemetry {

/// A TCP socket at its end, as sock_diag's multicast group tells it: closed, its own part of the tuple perhaps erased.
struct DestroyedSocket {
  Address local;
  Address remote;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
  bool is_ipv6_socket = false;                  ///< also of v4-mapped destinations
  std::optional<std::uint32_t> rtt_us;          ///< smoothed; 0: never measured
  std::optional<std::uint64_t> bytes_acked;     ///< the SYN counts
  std::optional<std::uint32_t> advertised_mss;  ///< 0: it never came to sending or answering a SYN
  std::optional<std::uint32_t> last_data_received_ms;
  std::optional<std::uint32_t> last_ack_received_ms;
};

/// What became of a socket, as far as its end tells. Kernels since 4.1 have all that is asked.
enum class SocketFate : std::uint8_t {
  kNeverConnected,    ///< not used, or bound, or listening; an IPv4 socket that found no route too
  kEstablished,       ///< the handshake was completed
  kFailed,            ///< a SYN was sent, and nothing acknowledged: refused, timed out, unreachable, given up
  kAddrNotAvailable,  ///< an IPv4 socket that found no port (EADDRNOTAVAIL)
  kFailedBeforeSyn,   ///< an IPv6 socket that found no port or no route
  kNotKnown,          ///< this kernel tells too little
};

/// A socket whose connect() blocked and failed, or that was closed by reset, has been disconnected before its end: port
/// of the peer, own address and byte counts are erased (tcp_disconnect), the peer's address and the MSS are not. Of
/// such a socket the time of the last data is erased too and that of the last ACK is not: when both are the same, no
/// ACK ever came.
[[nodiscard]] SocketFate fate_of(const DestroyedSocket& socket);

/// What the ends of sockets show of the connects of one window: tier 0, sampled. A socket is told of when it is closed,
/// not when its connect ended; one that was connected several times tells of the last time only.
struct ConnectHints {
  struct OfTuple {
    Tuple tuple;
    std::uint32_t established = 0;
    std::uint32_t failed = 0;  ///< connects that did not block, and failed or were given up
  };
  /// Of sockets that were disconnected: only the peer's address is left.
  struct OfDestination {
    Address destination;
    std::uint32_t established = 0;         ///< closed by reset
    std::uint32_t failed = 0;              ///< connects that blocked and failed
    std::uint32_t addr_not_available = 0;  ///< IPv4 sockets
    std::uint32_t failed_before_syn = 0;   ///< IPv6 sockets: no port or no route
  };
  std::vector<OfTuple> tuples;              ///< sorted
  std::vector<OfDestination> destinations;  ///< sorted

  std::uint64_t established_seen = 0;      ///< in all
  std::uint64_t failed_seen = 0;           ///< with their tuple
  std::uint64_t failed_unknown_tuple = 0;  ///< of the destinations, all causes
  std::uint64_t never_connected = 0;
  std::uint64_t not_outbound = 0;  ///< on ports that connect() does not give: those of listeners, or outside the range
  std::uint64_t not_known = 0;     ///< of too little information
  std::uint64_t unlisted = 0;      ///< counted above, but without a row: too many tuples
  std::uint64_t lost = 0;          ///< sockets that nobody was told of, because the reader was too slow
  std::map<std::string, std::string> absent;  ///< what this tier cannot know of connects: signal → reason
};

/// Folds the ends of sockets into hints. Memory: at most kMostRows rows of each kind. Thread: the caller's.
class ConnectHintBuilder {
 public:
  static constexpr std::size_t kMostRows = 4096;

  /// `plan`: of the last look; a port that it does not give is not an outbound one.
  void add(const DestroyedSocket& socket, const PortPlan& plan);

  /// The hints since the last call. `lost`: events that were not read.
  [[nodiscard]] ConnectHints take(std::uint64_t lost);

 private:
  void add_with_tuple(const DestroyedSocket& socket, bool is_established);
  void add_disconnected(const DestroyedSocket& socket, SocketFate fate);

  std::unordered_map<Tuple, ConnectHints::OfTuple> tuples_;
  std::map<Address, ConnectHints::OfDestination> destinations_;
  ConnectHints totals_;  ///< without rows
};

}  // namespace tidewaiter::telemetry
