// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "lab/client_socket.h"
#include "lab/network.h"
#include "lab/packet.h"

namespace tidewaiter::lab {

/// What a peer says to a SYN.
enum class Answer : std::uint8_t {
  kSilence,
  kAccept,         ///< SYN|ACK, and nothing more
  kRefuse,         ///< RST|ACK
  kCrossAndReset,  ///< a SYN of its own (a simultaneous open, RFC 9293, 3.5), and RST to what the client says to that
  kNetworkUnreachable,
  kHostUnreachable,
  kProtocolUnreachable,
  kPortUnreachable,
  kProhibited,
};

/// What came to a port of the peer.
struct PeerCounts {
  std::uint64_t syns = 0;     ///< repeated ones too
  std::uint64_t others = 0;   ///< segments
  std::uint64_t answers = 0;  ///< packets sent
};

/// All hosts of 10.198.0.0/16 and fd00:7469:6465::/64 but the client's own, which is the first of each, behind a tun
/// device in the client's network. They answer by the destination port, at once, always the same way, and count. What a
/// kernel would never do, or not reliably, they do. Threads: one of its own; the methods from any.
class ScriptedPeer {
 public:
  using Script = std::map<std::uint16_t, Answer>;  ///< by port; others are silent

  /// Errors: as make_tun_device().
  [[nodiscard]] static base::Result<std::unique_ptr<ScriptedPeer>> start(const Network& network, Script script);
  ScriptedPeer(const ScriptedPeer&) = delete;
  ScriptedPeer& operator=(const ScriptedPeer&) = delete;
  ~ScriptedPeer();

  /// Of the client.
  static constexpr telemetry::Address kOwn = telemetry::Address::v4(0x0ac60001);
  static constexpr telemetry::Address kOwnIpv6 =
      telemetry::Address::v6({0xfd, 0, 0x74, 0x69, 0x64, 0x65, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});

  /// Of one of the hosts.
  static constexpr telemetry::Address kHost = telemetry::Address::v4(0x0ac60002);
  static constexpr telemetry::Address kHostIpv6 =
      telemetry::Address::v6({0xfd, 0, 0x74, 0x69, 0x64, 0x65, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2});

  /// Begins `count` handshakes with a listener of the client's network, at kOwn, and ends none of them.
  [[nodiscard]] base::Result<void> knock(std::uint16_t port, std::uint16_t count);

  /// Of everything that came to a port so far; also from it, where the peer knocked.
  [[nodiscard]] PeerCounts counts(std::uint16_t port) const;

 private:
  explicit ScriptedPeer(Script script) : script_(std::move(script)) {}
  void serve();
  void take(std::span<const std::uint8_t> packet);
  [[nodiscard]] bool send(const Packet& packet) const;

  const Script script_;
  base::FileDescriptor device_;
  base::FileDescriptor stop_;
  mutable std::mutex mutex_;
  std::map<std::uint16_t, PeerCounts> counts_;
  std::thread thread_;
};

}  // namespace tidewaiter::lab
