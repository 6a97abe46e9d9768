// SPDX-License-Identifier: Apache-2.0
#include "telemetry/socket_ledger.h"

#include <algorithm>
#include <cassert>

#include "telemetry/port_counts.h"

namespace tidewaiter::telemetry {
namespace {

constexpr base::Nanoseconds kTimeWait = base::Milliseconds(kTimeWaitMs);

/// A mini-socket whose time ended while a dump ran is none that the dump must show.
constexpr base::Nanoseconds kDumpMayTake = base::Milliseconds(500);

bool is_bound_idle(const SocketRow& row) {
  return row.state == TcpState::kBoundInactive || row.state == TcpState::kClose;
}

bool is_half_open(const SocketRow& row) {
  return row.state == TcpState::kSynReceived || row.state == TcpState::kNewSynReceived;
}

PortHolder holder_of(const SocketRow& row) {
  if (!row.is_mini_socket()) return PortHolder::kLive;
  return row.state == TcpState::kTimeWait ? PortHolder::kTimeWait : PortHolder::kFinWait2;
}

}  // namespace

void SocketLedger::reset(const PortPlan& plan, const PortSet& listening, base::Instant now) {
  plan_ = plan;
  listening_ = listening;
  epoch_ = now;
  is_dumping_ = false;
  places_.clear();
  tuples_.clear();
  unused_.clear();
  slots_.assign(1024, {});
  sockets_ = 0;
  in_range_ = in_range_mini_ = 0;
}

std::uint32_t SocketLedger::to_ms(base::Instant instant) const {
  return static_cast<std::uint32_t>(std::chrono::floor<base::Milliseconds>(instant - epoch_).count());
}

base::Instant SocketLedger::due_of(const Held& held, base::Instant now) const {
  return now + base::Milliseconds(static_cast<std::int32_t>(held.due_ms - to_ms(now)));
}

std::size_t SocketLedger::home_of(std::uint32_t tuple, std::uint16_t port) const {
  const std::uint64_t hash = ((std::uint64_t{tuple} << 16) | port) * 0x9e37'79b9'7f4a'7c15ULL;
  return static_cast<std::size_t>(hash >> 32) & (slots_.size() - 1);
}

/// The slot of a port of a tuple, or the empty one where it would stand.
std::size_t SocketLedger::slot_of(std::uint32_t tuple, std::uint16_t port) const {
  std::size_t slot = home_of(tuple, port);
  while (slots_[slot].tuple != 0) {
    const Slot& entry = slots_[slot];
    if (entry.tuple == tuple + 1 && tuples_[tuple].held[entry.at].port == port) break;
    slot = (slot + 1) & (slots_.size() - 1);
  }
  return slot;
}

void SocketLedger::grow() {
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
  for (const Slot& entry : old) {
    if (entry.tuple == 0) continue;
    const std::uint32_t tuple = entry.tuple - 1;
    slots_[slot_of(tuple, tuples_[tuple].held[entry.at].port)] = entry;
  }
}

/// Entries behind it move up, so that none is cut off from its home.
void SocketLedger::empty_slot(std::size_t slot) {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t next = (slot + 1) & mask; slots_[next].tuple != 0; next = (next + 1) & mask) {
    const std::uint32_t tuple = slots_[next].tuple - 1;
    const std::size_t home = home_of(tuple, tuples_[tuple].held[slots_[next].at].port);
    if (((next - home) & mask) < ((next - slot) & mask)) continue;  // its home lies behind the gap
    slots_[slot] = slots_[next];
    slot = next;
  }
  slots_[slot] = {};
}

std::uint32_t SocketLedger::find_or_add_tuple(const Tuple& tuple) {
  const auto [entry, is_new] = places_.try_emplace(tuple, 0);
  if (!is_new) return entry->second;
  if (unused_.empty()) {
    entry->second = static_cast<std::uint32_t>(tuples_.size());
    tuples_.emplace_back();
  } else {
    entry->second = unused_.back();
    unused_.pop_back();
  }
  tuples_[entry->second].tuple = tuple;
  return entry->second;
}

void SocketLedger::drop_if_empty(std::uint32_t tuple) {
  if (!tuples_[tuple].held.empty()) return;
  places_.erase(tuples_[tuple].tuple);
  tuples_[tuple] = {};
  unused_.push_back(tuple);
}

SocketLedger::Held* SocketLedger::find(std::uint32_t tuple, std::uint16_t port) {
  const Slot& entry = slots_[slot_of(tuple, port)];
  return entry.tuple == 0 ? nullptr : &tuples_[tuple].held[entry.at];
}

/// What a port means for tuples, as CensusBuilder sees it.
std::uint8_t SocketLedger::place_of(std::uint16_t port) const {
  if (listening_.test(port)) return kNoTuple;
  if (plan_.is_usable(port)) return 0;
  return plan_.is_in_range(port) && !plan_.settings().reserved.test(port) ? kNoTuple : kOutside;
}

SocketLedger::Held& SocketLedger::hold(std::uint32_t tuple, std::uint16_t port, std::uint64_t cookie,
                                       PortHolder holder) {
  if ((sockets_ + 1) * 5 > slots_.size() * 4) grow();
  HeldTuple& entry = tuples_[tuple];
  slots_[slot_of(tuple, port)] = {tuple + 1, static_cast<std::uint32_t>(entry.held.size())};
  entry.held.push_back({cookie, 0, port, PortHolder::kLive, place_of(port)});
  ++sockets_;
  if (plan_.is_in_range(port)) ++in_range_;
  turn(tuple, entry.held.back(), cookie, holder);
  return entry.held.back();
}

void SocketLedger::turn(std::uint32_t tuple, Held& held, std::uint64_t cookie, PortHolder holder) {
  HeldTuple& entry = tuples_[tuple];
  const int was_mini = held.holder != PortHolder::kLive ? 1 : 0;
  const int is_mini = holder != PortHolder::kLive ? 1 : 0;
  entry.mini_sockets += static_cast<std::uint32_t>(is_mini - was_mini);
  if (plan_.is_in_range(held.port)) in_range_mini_ += static_cast<std::uint32_t>(is_mini - was_mini);
  held.cookie = cookie;
  held.holder = holder;
  held.flags = static_cast<std::uint8_t>(held.flags & (kNoTuple | kOutside));
  entry.is_changed = true;
}

/// The tuple stays, even when it was its last port.
void SocketLedger::release(std::uint32_t tuple, std::uint16_t port) {
  const std::size_t slot = slot_of(tuple, port);
  assert(slots_[slot].tuple != 0);
  HeldTuple& entry = tuples_[tuple];
  const std::uint32_t at = slots_[slot].at;
  turn(tuple, entry.held[at], 0, PortHolder::kLive);
  empty_slot(slot);
  if (at + 1 != entry.held.size()) {
    slots_[slot_of(tuple, entry.held.back().port)].at = at;
    entry.held[at] = entry.held.back();
  }
  entry.held.pop_back();
  --sockets_;
  if (plan_.is_in_range(port)) --in_range_;
}

void SocketLedger::apply(const SocketChange& change) {
  wheel_.synchronize(change.at, change.ticks);
  switch (change.kind) {
    case SocketChange::Kind::kOpened:
    case SocketChange::Kind::kSynRetransmitted:
      connect(change);
      break;
    case SocketChange::Kind::kTimeWait:
      wait(change);
      break;
    case SocketChange::Kind::kReleased:
      release(change);
      break;
  }
}

void SocketLedger::connect(const SocketChange& change) {
  const std::uint32_t tuple = find_or_add_tuple(change.tuple);
  Held* held = find(tuple, change.local_port);
  if (held == nullptr) {
    held = &hold(tuple, change.local_port, change.cookie, PortHolder::kLive);
  } else {
    turn(tuple, *held, change.cookie, PortHolder::kLive);
  }
  if (change.kind == SocketChange::Kind::kSynRetransmitted) held->flags |= kSynSent | kSynRetransmitted;
  held->flags |= kConfirmed;
}

void SocketLedger::wait(const SocketChange& change) {
  const std::uint32_t tuple = find_or_add_tuple(change.tuple);
  Held* held = find(tuple, change.local_port);
  if (held == nullptr) {
    held = &hold(tuple, change.local_port, next_cookie_++, PortHolder::kTimeWait);
  } else if (held->holder == PortHolder::kLive) {
    if (held->cookie != change.cookie) return;  // a dump has shown who came after it
    turn(tuple, *held, next_cookie_++, PortHolder::kTimeWait);
  } else if (is_dumping_ && (held->flags & kConfirmed) != 0) {
    held->flags = static_cast<std::uint8_t>(held->flags & ~kUnexpected);  // the dump has shown this one already
    return;
  } else {
    turn(tuple, *held, next_cookie_++, PortHolder::kTimeWait);
  }
  held->due_ms = to_ms(change.at + kTimeWait);
  held->flags |= kConfirmed;
}

void SocketLedger::release(const SocketChange& change) {
  const auto entry = places_.find(change.tuple);
  if (entry == places_.end()) return;
  const std::uint32_t tuple = entry->second;
  const Held* const held = find(tuple, change.local_port);
  if (held == nullptr || held->holder != PortHolder::kLive || held->cookie != change.cookie) return;
  release(tuple, change.local_port);
  drop_if_empty(tuple);
}

void SocketLedger::begin_dump(base::Instant now) {
  is_dumping_ = true;
  dump_began_ = now;
  for (HeldTuple& tuple : tuples_) {
    for (Held& held : tuple.held) held.flags = static_cast<std::uint8_t>(held.flags & ~(kConfirmed | kUnexpected));
  }
}

void SocketLedger::on_row(const SocketRow& row) {
  if (row.state == TcpState::kListen || is_bound_idle(row) || row.remote_port == 0) return;
  const bool is_server = listening_.test(row.local_port);
  if (is_server && (is_half_open(row) || !plan_.is_in_range(row.local_port))) return;
  const std::uint32_t tuple = find_or_add_tuple({row.local, row.remote, row.remote_port});
  const PortHolder holder = holder_of(row);
  Held* held = find(tuple, row.local_port);
  std::uint8_t flags = kConfirmed;
  if (held == nullptr) {
    held = &hold(tuple, row.local_port, row.cookie, holder);
    flags |= kUnexpected;
  } else if ((held->holder == PortHolder::kLive) != (holder == PortHolder::kLive)) {
    // A port that comes twice: its connection wins over what is left of an earlier one.
    if ((held->flags & kConfirmed) != 0 && holder != PortHolder::kLive) return;
    turn(tuple, *held, row.cookie, holder);
    flags |= kUnexpected;
  } else if (held->holder != holder) {
    turn(tuple, *held, held->cookie, holder);
  } else if (holder == PortHolder::kLive && held->cookie != row.cookie) {
    turn(tuple, *held, row.cookie, holder);
    flags |= kUnexpected;
  } else {
    flags |= static_cast<std::uint8_t>(held->flags & kUnexpected);
  }
  if (holder != PortHolder::kLive) held->due_ms = to_ms(dump_began_ + base::Milliseconds(row.expires_ms));
  const auto was = static_cast<std::uint8_t>(held->flags & (kSynSent | kSynRetransmitted));
  std::uint8_t is = 0;
  if (row.state == TcpState::kSynSent) {
    is = static_cast<std::uint8_t>(kSynSent | (row.retransmits > 0 ? kSynRetransmitted : 0));
    flags = static_cast<std::uint8_t>(flags & ~kUnexpected);  // no event tells of it yet
  }
  if (was != is) tuples_[tuple].is_changed = true;
  held->flags = static_cast<std::uint8_t>((held->flags & (kNoTuple | kOutside)) | is | flags);
}

SocketLedger::Drift SocketLedger::end_dump() {
  is_dumping_ = false;
  Drift drift;
  for (std::uint32_t tuple = 0; tuple < tuples_.size(); ++tuple) {
    if (tuples_[tuple].held.empty()) continue;
    for (std::size_t at = 0; at < tuples_[tuple].held.size();) {
      const Held& held = tuples_[tuple].held[at];
      if ((held.flags & kUnexpected) != 0) ++drift.missing;
      if ((held.flags & kConfirmed) != 0) {
        ++at;
        continue;
      }
      const bool is_over =
          held.holder != PortHolder::kLive && wheel_.fires(due_of(held, dump_began_)) <= dump_began_ + kDumpMayTake;
      if (!is_over) ++drift.phantoms;
      release(tuple, held.port);
    }
    drop_if_empty(tuple);
  }
  return drift;
}

void SocketLedger::expire(std::uint32_t tuple, base::Instant now) {
  std::vector<Held>& held = tuples_[tuple].held;
  for (std::size_t at = 0; at < held.size();) {
    if (held[at].holder != PortHolder::kLive && wheel_.fires(due_of(held[at], now)) <= now) {
      release(tuple, held[at].port);
    } else {
      ++at;
    }
  }
}

void SocketLedger::show(HeldTuple& tuple, base::Instant now) const {
  std::vector<PortUse> ports;
  ports.reserve(tuple.held.size());
  TupleCounts counts;
  for (const Held& held : tuple.held) {
    if ((held.flags & kNoTuple) != 0) continue;
    if ((held.flags & kSynSent) != 0) ++counts.syn_sent;
    if ((held.flags & kSynRetransmitted) != 0) ++counts.syn_retransmitted;
    if ((held.flags & kOutside) != 0) {
      ++counts.outside_range;
      continue;
    }
    PortUse use{held.cookie, 0, held.port, held.holder, false};
    if (use.is_mini_socket()) {
      use.remaining_ms = static_cast<std::uint32_t>(
          std::max<std::int64_t>(0, std::chrono::floor<base::Milliseconds>(due_of(held, now) - now).count()));
      use.reusable = use.holder == PortHolder::kTimeWait &&
                     plan_.is_reusable(tuple.tuple.source, tuple.tuple.destination, use.remaining_ms);
    }
    ports.push_back(use);
  }
  add_ports(plan_, ports, counts);
  tuple.shown = {tuple.tuple, counts, PortList(std::move(ports))};
  tuple.is_changed = false;
}

void SocketLedger::fill(Sample& sample, std::uint32_t listening_sockets_in_range) {
  const base::Instant now = sample.at.steady;
  for (std::uint32_t tuple = 0; tuple < tuples_.size(); ++tuple) {
    if (tuples_[tuple].held.empty()) continue;
    if (tuples_[tuple].mini_sockets > 0) expire(tuple, now);
    HeldTuple& entry = tuples_[tuple];
    if (entry.is_changed || entry.mini_sockets > 0) show(entry, now);
    if (!entry.shown.ports.empty() || entry.shown.counts.outside_range > 0) sample.tuples.push_back(entry.shown);
    drop_if_empty(tuple);
  }
  std::sort(sample.tuples.begin(), sample.tuples.end(),
            [](const TupleSample& left, const TupleSample& right) { return left.tuple < right.tuple; });
  sample.plan = plan_;
  sample.in_range = in_range_ + listening_sockets_in_range;
  sample.in_range_time_wait = in_range_mini_;
}

}  // namespace tidewaiter::telemetry
