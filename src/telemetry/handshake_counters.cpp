// SPDX-License-Identifier: Apache-2.0
#include "telemetry/handshake_counters.h"

#include <algorithm>
#include <utility>

namespace tidewaiter::telemetry {
namespace {

using Count = std::optional<std::uint64_t>;

Count delta(const Sample& before, const Sample& after, const char* name) {
  const auto value_in = [&](const Sample& sample) -> std::optional<std::int64_t> {
    const auto found = sample.counters.find(name);
    return found == sample.counters.end() ? std::nullopt : found->second;
  };
  const auto old_value = value_in(before);
  const auto new_value = value_in(after);
  if (!old_value || !new_value || *new_value < *old_value) return std::nullopt;
  return static_cast<std::uint64_t>(*new_value - *old_value);
}

/// left − right, not below 0.
std::uint64_t excess(std::uint64_t left, std::uint64_t right) { return left > right ? left - right : 0; }

constexpr const char* kNoCounters = "/proc/net/netstat could not be read, or the namespace has changed";
constexpr const char* kNoHook = "needs the kfree_skb hook (tier 1): the counters mix dropped SYNs and final ACKs";
constexpr const char* kCookies = "syncookies were in use: their final ACKs are dropped without an event of their own";

/// The overflows of a window with `seen` final ACKs by the hook.
void split_overflows(std::uint64_t overflows, std::uint64_t seen, Count cookies, ListenerDrops& drops) {
  const std::uint64_t matched = std::min(seen, overflows);
  drops.ahead = seen - matched;
  if (matched < overflows && cookies.value_or(1) > 0) {
    drops.absent = {{"dropped_syns", kCookies}, {"dropped_final_acks", kCookies}};
    return;
  }
  drops.dropped_final_acks = matched;
  drops.dropped_syns = overflows - matched;
}

}  // namespace

HandshakeDeltas handshake_deltas(const Sample& before, const Sample& after) {
  const auto of = [&](const char* name) { return delta(before, after, name); };
  HandshakeDeltas deltas;
  deltas.active_opens = of("Tcp.ActiveOpens");
  deltas.passive_opens = of("Tcp.PassiveOpens");
  deltas.attempt_fails = of("Tcp.AttemptFails");
  deltas.timeouts = of("TcpExt.TCPTimeouts");
  deltas.syn_retransmits = of("TcpExt.TCPSynRetrans");
  deltas.listen_overflows = of("TcpExt.ListenOverflows");
  deltas.listen_drops = of("TcpExt.ListenDrops");
  deltas.half_open_drops = of("TcpExt.TCPReqQFullDrop");
  deltas.syncookies_received = of("TcpExt.SyncookiesRecv");
  return deltas;
}

Count listener_drops_between(const Sample& before, const Sample& after) {
  std::map<std::pair<std::uint16_t, Address>, std::uint32_t> old_drops;
  for (const ListenerSample& listener : before.listeners) {
    if (listener.drops) old_drops[{listener.port, listener.address}] = *listener.drops;
  }
  std::uint64_t sum = 0;
  for (const ListenerSample& listener : after.listeners) {
    if (!listener.drops) return std::nullopt;
    const auto found = old_drops.find({listener.port, listener.address});
    const bool goes_on = found != old_drops.end() && found->second <= *listener.drops;
    sum += *listener.drops - (goes_on ? found->second : 0);
  }
  return sum;
}

ListenerDrops split_listener_drops(const ListenerDropCounts& counts) {
  const HandshakeDeltas& deltas = counts.counters;
  ListenerDrops drops;
  drops.half_open_full = deltas.half_open_drops;
  if (!deltas.listen_overflows || !deltas.listen_drops) {
    for (const char* field : {"dropped_syns", "dropped_final_acks", "otherwise"}) drops.absent[field] = kNoCounters;
    return drops;
  }
  const std::uint64_t overflows = *deltas.listen_overflows;
  if (counts.final_acks) {
    split_overflows(overflows, *counts.final_acks + counts.ahead, deltas.syncookies_received, drops);
  } else if (overflows == 0) {
    drops.dropped_syns = drops.dropped_final_acks = 0;
  } else {
    drops.absent = {{"dropped_syns", kNoHook}, {"dropped_final_acks", kNoHook}};
  }
  if (deltas.half_open_drops) drops.otherwise = excess(*deltas.listen_drops, overflows + *deltas.half_open_drops);
  if (counts.by_listeners) {
    drops.estimated_final_acks = std::min(overflows, excess(*counts.by_listeners, *deltas.listen_drops));
  }
  return drops;
}

}  // namespace tidewaiter::telemetry
