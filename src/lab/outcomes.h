// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lab/child_process.h"
#include "lab/connect_tally.h"
#include "lab/outcome_counts.h"
#include "lab/outcome_work.h"
#include "lab/rtnetlink.h"
#include "lab/scripted_peer.h"

namespace tidewaiter::lab {

/// What is at the other end.
enum class Site : std::uint8_t {
  kEcho,          ///< a server on loopback
  kEchoIpv6,      ///< on ::1
  kEchoMptcp,     ///< one that understands MPTCP
  kEchoFastOpen,  ///< one that takes data in the SYN
  kElsewhere,     ///< a server on loopback in another network, where the client is too
  kClosed,        ///< nobody, on loopback
  kPeer,          ///< the scripted peer
  kPeerIpv6,
  kDead,  ///< a route that lets nothing through
  kLost,  ///< no route
};

/// The cgroup that the client is in.
enum class Group : std::uint8_t {
  kOwn,      ///< the lab's
  kOther,    ///< one of its own
  kDenied,   ///< one whose connects a BPF program refuses
  kHasty,    ///< one whose SYNs are repeated soon
  kPatient,  ///< one whose SYNs are not repeated for seconds
};

/// One way in which connects end: made in a process of its own, to a port of its own.
struct Outcome {
  std::string name;
  Site site = Site::kEcho;
  Work work;
  ErrorCounts client;  ///< what the client must see
  Tally agent;         ///< what the agent must say of the tuple
  Task task;
  Answer answer = Answer::kSilence;  ///< of kPeer
  Group group = Group::kOwn;
  DeadRoute route = DeadRoute::kUnreachable;  ///< of kDead
  ExitStatus exit;                            ///< of the client

  /// The source address of the tuple; the unspecified one: connect() never chose one.
  [[nodiscard]] telemetry::Address source() const;
};

struct OutcomeRange {
  std::uint16_t lo;  ///< of the client's ports
  std::uint16_t hi;
};

/// All of them, each with its destination and its counts.
[[nodiscard]] std::vector<Outcome> all_outcomes(const OutcomeRange& range);

/// For the peer.
[[nodiscard]] ScriptedPeer::Script script_of(const std::vector<Outcome>& outcomes);

}  // namespace tidewaiter::lab
