// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "telemetry/connect_hints.h"
#include "telemetry/socket_row.h"

namespace tidewaiter::kernel {

/// Sets of TCP states as sock_diag takes them: bit n for state n.
class StateMask {
 public:
  constexpr StateMask() = default;
  template <class... States>
  constexpr explicit StateMask(States... states) : bits_((0U | ... | (1U << static_cast<unsigned>(states)))) {}
  [[nodiscard]] constexpr std::uint32_t bits() const { return bits_; }
  friend constexpr StateMask operator|(StateMask left, StateMask right) {
    left.bits_ |= right.bits_;
    return left;
  }

 private:
  std::uint32_t bits_ = 0;
};

/// Optional parts of a row (`idiag_ext`).
enum class DiagExtension : std::uint8_t { kNone, kSocketMemory, kTcpInfo };

/// What one dump asks for.
struct DiagRequest {
  StateMask states;
  DiagExtension extension = DiagExtension::kNone;
  std::vector<std::uint16_t> only_ports;    ///< local ports to list; empty: all. Filtered in the kernel
  std::vector<std::uint16_t> except_ports;  ///< local ports to leave out; empty: none. Filtered in the kernel
};

/// A filter is walked for each socket that it meets: longer lists are not sent, and the caller filters.
inline constexpr std::size_t kMaximumFilterPorts = 64;

/// The request for all address families in one walk: TCPDIAG_GETSOCK, the one request that is not bound to a family
/// (net/ipv4/inet_diag.c, inet_diag_dump_compat). Precondition: each port list ≤ kMaximumFilterPorts.
[[nodiscard]] std::vector<std::byte> encode_dump_request(const DiagRequest& request, std::uint32_t sequence);

/// What one datagram of a dump said.
struct DiagChunk {
  std::uint32_t rows = 0;
  std::uint32_t unknown = 0;  ///< messages of a kind or family that is not ours: passed over
  bool is_done = false;
  bool is_interrupted = false;  ///< NLM_F_DUMP_INTR: the table changed in a way that can lose or repeat sockets
};

/// Reads one datagram of a dump and hands each socket to `sink`.
///
/// Never reads past `datagram`, whatever the lengths inside say. Messages of another sequence are passed over (an
/// earlier, abandoned dump). Errors: kMalformed (a message or attribute that reaches past its frame, a row that is too
/// short), or what the kernel answered (errno).
[[nodiscard]] base::Result<DiagChunk> parse_dump(std::span<const std::byte> datagram, std::uint32_t sequence,
                                                 telemetry::RowSink& sink);

/// Receives the ends of sockets, in the order of the kernel's messages.
class DestroyedSink {
 public:
  virtual ~DestroyedSink() = default;
  virtual void on_destroyed(const telemetry::DestroyedSocket& socket) = 0;
};

/// What one datagram of a multicast group said.
struct DestroyedChunk {
  std::uint32_t sockets = 0;
  std::uint32_t unknown = 0;  ///< messages of a kind or family that is not ours: passed over
};

/// Reads one datagram of SKNLGRP_INET_TCP_DESTROY or its IPv6 twin and hands each socket to `sink`. Reads nothing
/// beyond `datagram`. Errors: kMalformed, as parse_dump().
[[nodiscard]] base::Result<DestroyedChunk> parse_destroyed(std::span<const std::byte> datagram, DestroyedSink& sink);

}  // namespace tidewaiter::kernel
