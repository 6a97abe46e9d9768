// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/result.h"
#include "lab/connect_tally.h"
#include "lab/echo_server.h"
#include "lab/network.h"
#include "lab/scripted_peer.h"

namespace tidewaiter::lab {

/// What a mixed connect goes to.
enum class MixedKind : std::uint8_t { kEstablished, kRefused, kExhausted, kUnreachable, kLost };
inline constexpr std::array kMixedKinds{MixedKind::kEstablished, MixedKind::kRefused, MixedKind::kExhausted,
                                        MixedKind::kUnreachable, MixedKind::kLost};

/// One in 20 fails, in a fixed order.
[[nodiscard]] MixedKind mixed_kind(std::uint32_t turn);

/// The destination of a kind, on which nothing else connects.
[[nodiscard]] Endpoint mixed_destination(MixedKind kind);

/// For the peer.
void add_mixed_script(ScriptedPeer::Script& script);

/// The source address of the tuple; the unspecified one: connect() never chose one.
[[nodiscard]] telemetry::Address mixed_source(MixedKind kind);

struct MixedOptions {
  std::uint32_t processes = 4;
  std::uint32_t connects = 12'500;  ///< of each process
  std::uint32_t ports = 0;          ///< of the client's range
};

struct MixedResult {
  std::map<MixedKind, Tally> clients;  ///< what they saw; without retransmits, which they cannot see
  base::Nanoseconds took{0};
};

/// Connects of all kinds from several processes, as fast as they can. `network` has a peer with add_mixed_script().
/// Errors: that they did not end by `deadline`, or saw another end than the one they came for.
[[nodiscard]] base::Result<MixedResult> connect_mixed(const Network& network, const MixedOptions& options,
                                                      base::Instant deadline);

}  // namespace tidewaiter::lab
