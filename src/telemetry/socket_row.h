// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "telemetry/address.h"

namespace tidewaiter::telemetry {

/// TCP states with the kernel's numbers (include/net/tcp_states.h).
enum class TcpState : std::uint8_t {
  kEstablished = 1,
  kSynSent = 2,
  kSynReceived = 3,
  kFinWait1 = 4,
  kFinWait2 = 5,
  kTimeWait = 6,
  kClose = 7,
  kCloseWait = 8,
  kLastAck = 9,
  kListen = 10,
  kClosing = 11,
  kNewSynReceived = 12,
  kBoundInactive = 13,  ///< bound, neither connected nor listening; Linux 6.8+
};

/// The timer that runs on a socket, with sock_diag's numbers (`idiag_timer`).
enum class SocketTimer : std::uint8_t { kNone = 0, kRetransmit = 1, kKeepAlive = 2, kTimeWait = 3, kZeroProbe = 4 };

/// One TCP socket as the kernel lists it. Plain data; what a source does not tell is absent.
struct SocketRow {
  Address local;
  Address remote;
  std::uint64_t cookie = 0;  ///< the kernel's identity of the socket; a TIME_WAIT has another one than its connection
  std::uint32_t expires_ms = 0;                    ///< time until `timer` fires; 0 also when it is overdue
  std::uint32_t receive_queue = 0;                 ///< LISTEN: sockets that wait for accept()
  std::uint32_t send_queue = 0;                    ///< LISTEN: the limit of the accept queue
  std::uint32_t inode = 0;                         ///< 0 = no file descriptor holds it
  std::optional<std::uint32_t> drops;              ///< SK_MEMINFO_DROPS
  std::optional<std::uint32_t> last_data_sent_ms;  ///< tcpi_last_data_sent
  std::optional<std::uint32_t> half_open;          ///< LISTEN: connections whose handshake is not complete
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
  TcpState state = TcpState::kClose;
  SocketTimer timer = SocketTimer::kNone;
  std::uint8_t retransmits = 0;

  /// A connection reduced to its TIME_WAIT timer: TIME_WAIT itself, or FIN_WAIT2 without a descriptor. The full
  /// FIN_WAIT2 of an open descriptor never runs this timer.
  [[nodiscard]] bool is_mini_socket() const { return timer == SocketTimer::kTimeWait; }
};

/// Receives rows in the order of the dump.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void on_row(const SocketRow& row) = 0;

  /// The dump starts again from its beginning: forget what came so far.
  virtual void on_restart() = 0;
};

}  // namespace tidewaiter::telemetry
