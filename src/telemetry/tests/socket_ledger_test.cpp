// SPDX-License-Identifier: Apache-2.0
#include "telemetry/socket_ledger.h"

#include <gtest/gtest.h>
#include <map>
#include <random>
#include <rapidcheck.h>
#include <set>

#include "telemetry/census_builder.h"

namespace tidewaiter::telemetry {
namespace {

using Kind = SocketChange::Kind;

constexpr unsigned kHz = 250;
const base::Instant kStart{base::Seconds(1'000'000)};
const Address kLocal = Address::v4(0x0a000001);
const Tuple kVenue{kLocal, Address::v4(0x0a000007), 9000};
const Tuple kOtherVenue{kLocal, Address::v4(0x0a000008), 9000};

PortPlan plan() {
  PortSettings settings;
  settings.lo = 40'000;
  settings.hi = 40'099;
  settings.reserved.set(40'090);
  PortSet owned;
  owned.set(40'050);
  return {settings, owned};
}

PortSet listening() {
  PortSet ports;
  ports.set(40'050);
  ports.set(8080);
  return ports;
}

SocketRow row(const Tuple& tuple, std::uint16_t port, TcpState state, std::uint64_t cookie,
              std::uint32_t remaining_ms = 0) {
  SocketRow row;
  row.local = tuple.source;
  row.remote = tuple.destination;
  row.remote_port = tuple.destination_port;
  row.local_port = port;
  row.state = state;
  row.cookie = cookie;
  if (state == TcpState::kTimeWait) {
    row.timer = SocketTimer::kTimeWait;
    row.expires_ms = remaining_ms;
  }
  return row;
}

/// A ledger and its clock.
struct World {
  World() { ledger.reset(plan(), listening(), kStart); }

  void tell(Kind kind, std::uint16_t port, std::uint64_t cookie, const Tuple& tuple = kVenue) {
    ledger.apply({now, ticks(), cookie, tuple, port, kind});
  }

  [[nodiscard]] std::uint64_t ticks() const {
    return static_cast<std::uint64_t>((now - kStart) / base::Milliseconds(4)) + 1'000'000;
  }

  Sample look() {
    Sample sample;
    sample.at.steady = now;
    ledger.fill(sample, 0);
    return sample;
  }

  SocketLedger::Drift dump(const std::vector<SocketRow>& rows, const std::vector<SocketChange>& meanwhile = {}) {
    ledger.begin_dump(now);
    for (const SocketRow& entry : rows) ledger.on_row(entry);
    for (const SocketChange& change : meanwhile) ledger.apply(change);
    return ledger.end_dump();
  }

  SocketLedger ledger{kHz};
  base::Instant now = kStart;
};

TEST(SocketLedger, follows_a_connection_through_its_time_wait_to_the_step_of_the_timer_wheel) {
  World world;
  world.tell(Kind::kOpened, 40'000, 7);
  EXPECT_EQ(world.look().tuples.at(0).counts.live, 1U);
  EXPECT_EQ(world.look().tuples.at(0).ports[0].cookie, 7U);
  world.tell(Kind::kTimeWait, 40'000, 7);
  const Sample closed = world.look();
  EXPECT_EQ(closed.tuples.at(0).counts.live, 0U);
  EXPECT_EQ(closed.tuples.at(0).counts.time_wait, 1U);
  EXPECT_EQ(closed.tuples.at(0).counts.next_release_ms, 60'000U);
  EXPECT_NE(closed.tuples.at(0).ports[0].cookie, 7U) << "a TIME_WAIT is another socket";
  EXPECT_EQ(closed.in_range, 1U);
  EXPECT_EQ(closed.in_range_time_wait, 1U);
  world.now += base::Seconds(60);
  ASSERT_EQ(world.look().tuples.size(), 1U) << "due, but the wheel stands between two steps";
  EXPECT_EQ(world.look().tuples[0].counts.next_release_ms, 0U);
  // 1,015,000 ticks at the due time; the next multiple of 512 is 1,015,296: 1.184 s later.
  world.now += base::Milliseconds(1'183);
  EXPECT_EQ(world.look().tuples.size(), 1U);
  world.now += base::Milliseconds(1);
  const Sample gone = world.look();
  EXPECT_TRUE(gone.tuples.empty());
  EXPECT_EQ(gone.in_range, 0U);
  EXPECT_EQ(gone.in_range_time_wait, 0U);
  EXPECT_EQ(world.ledger.sockets(), 0U);
}

TEST(SocketLedger, lets_a_connection_take_over_a_time_wait) {
  World world;
  world.tell(Kind::kOpened, 40'000, 7);
  world.tell(Kind::kTimeWait, 40'000, 7);
  world.tell(Kind::kOpened, 40'000, 8);
  EXPECT_EQ(world.look().tuples.at(0).counts.live, 1U);
  EXPECT_EQ(world.look().tuples.at(0).counts.time_wait, 0U);
  world.tell(Kind::kReleased, 40'000, 7);  // too late to mean the one that is there
  EXPECT_EQ(world.look().tuples.at(0).counts.live, 1U);
  world.tell(Kind::kReleased, 40'000, 8);
  EXPECT_TRUE(world.look().tuples.empty());
}

TEST(SocketLedger, keeps_a_port_of_each_tuple_apart) {
  World world;
  world.tell(Kind::kOpened, 40'000, 7);
  world.tell(Kind::kOpened, 40'000, 8, kOtherVenue);
  world.tell(Kind::kReleased, 40'000, 7);
  const Sample sample = world.look();
  ASSERT_EQ(sample.tuples.size(), 1U);
  EXPECT_EQ(sample.tuples[0].tuple, kOtherVenue);
}

TEST(SocketLedger, sorts_ports_as_a_census_does) {
  World world;
  world.tell(Kind::kOpened, 39'999, 1);  // outside the range
  world.tell(Kind::kOpened, 40'090, 2);  // reserved
  world.tell(Kind::kOpened, 40'050, 3);  // a listener's: a server's side
  world.tell(Kind::kOpened, 40'001, 4);
  world.tell(Kind::kSynRetransmitted, 40'002, 5);
  const Sample sample = world.look();
  ASSERT_EQ(sample.tuples.size(), 1U);
  EXPECT_EQ(sample.tuples[0].counts.outside_range, 2U);
  EXPECT_EQ(sample.tuples[0].counts.live, 2U);
  EXPECT_EQ(sample.tuples[0].counts.live_preferred, 1U);
  EXPECT_EQ(sample.tuples[0].counts.syn_sent, 1U);
  EXPECT_EQ(sample.tuples[0].counts.syn_retransmitted, 1U);
  EXPECT_EQ(sample.in_range, 4U);
  world.tell(Kind::kOpened, 40'002, 5);
  EXPECT_EQ(world.look().tuples[0].counts.syn_sent, 0U);
}

TEST(SocketLedger, shares_the_ports_of_a_tuple_in_which_nothing_happened) {
  World world;
  world.tell(Kind::kOpened, 40'000, 7);
  world.tell(Kind::kOpened, 40'000, 8, kOtherVenue);
  const Sample before = world.look();
  world.tell(Kind::kOpened, 40'001, 9, kOtherVenue);
  const Sample after = world.look();
  EXPECT_TRUE(before.tuples[0].ports.is_same_as(after.tuples[0].ports));
  EXPECT_FALSE(before.tuples[1].ports.is_same_as(after.tuples[1].ports));
  EXPECT_EQ(before.tuples[1].ports.size(), 1U) << "a look that was taken does not change";
}

TEST(SocketLedger, is_put_right_by_a_dump_that_counts_what_was_wrong) {
  World world;
  world.tell(Kind::kOpened, 40'000, 1);
  world.tell(Kind::kOpened, 40'001, 2);
  world.tell(Kind::kTimeWait, 40'001, 2);
  world.tell(Kind::kOpened, 40'002, 3);
  // 40000 has gone unseen, 40001 has been killed, 40003 came unseen, another one has 40002.
  const auto drift =
      world.dump({row(kVenue, 40'002, TcpState::kEstablished, 9), row(kVenue, 40'003, TcpState::kFinWait1, 4),
                  row(kVenue, 40'004, TcpState::kSynSent, 5)});
  EXPECT_EQ(drift.missing, 2U) << "a connection without an answer is known by dumps alone";
  EXPECT_EQ(drift.phantoms, 2U);
  const Sample sample = world.look();
  EXPECT_EQ(sample.tuples.at(0).counts.live, 3U);
  EXPECT_EQ(sample.tuples.at(0).counts.time_wait, 0U);
  EXPECT_EQ(sample.tuples.at(0).counts.syn_sent, 1U);
  const auto again =
      world.dump({row(kVenue, 40'002, TcpState::kEstablished, 9), row(kVenue, 40'003, TcpState::kFinWait2, 4),
                  row(kVenue, 40'004, TcpState::kSynSent, 5)});
  EXPECT_EQ(again.missing + again.phantoms, 0U);
}

TEST(SocketLedger, does_not_take_what_happened_during_a_dump_for_drift) {
  World world;
  world.tell(Kind::kOpened, 40'000, 1);
  world.tell(Kind::kOpened, 40'001, 2);
  const auto change = [&](Kind kind, std::uint16_t port, std::uint64_t cookie) {
    return SocketChange{world.now, world.ticks(), cookie, kVenue, port, kind};
  };
  const auto drift =
      world.dump({row(kVenue, 40'001, TcpState::kEstablished, 2), row(kVenue, 40'002, TcpState::kEstablished, 3),
                  row(kVenue, 40'003, TcpState::kTimeWait, 99, 59'000)},
                 {change(Kind::kReleased, 40'000, 1),                                      // not shown
                  change(Kind::kTimeWait, 40'001, 2),                                      // shown before
                  change(Kind::kOpened, 40'002, 3),                                        // shown after
                  change(Kind::kOpened, 40'003, 4), change(Kind::kTimeWait, 40'003, 4)});  // shown after both
  EXPECT_EQ(drift.missing, 0U);
  EXPECT_EQ(drift.phantoms, 0U);
  const Sample sample = world.look();
  EXPECT_EQ(sample.tuples.at(0).counts.live, 1U);
  EXPECT_EQ(sample.tuples.at(0).counts.time_wait, 2U);
}

TEST(SocketLedger, takes_the_timers_of_a_dump) {
  World world;
  world.tell(Kind::kOpened, 40'000, 1);
  world.tell(Kind::kTimeWait, 40'000, 1);
  const std::uint64_t cookie = world.look().tuples.at(0).ports[0].cookie;
  world.now += base::Seconds(10);
  EXPECT_EQ(world.look().tuples.at(0).ports[0].remaining_ms, 50'000U);
  world.dump({row(kVenue, 40'000, TcpState::kTimeWait, 1234, 58'000)});  // the peer's FIN came late
  EXPECT_EQ(world.look().tuples.at(0).ports[0].remaining_ms, 58'000U);
  EXPECT_EQ(world.look().tuples.at(0).ports[0].cookie, cookie) << "still the same socket";
}

/// The kernel, as far as a ledger sees it.
struct Truth {
  struct Entry {
    std::uint64_t cookie = 0;
    bool is_waiting = false;
  };
  std::map<std::pair<Tuple, std::uint16_t>, Entry> sockets;

  [[nodiscard]] std::vector<SocketRow> rows() const {
    std::vector<SocketRow> rows;
    for (const auto& [key, entry] : sockets) {
      rows.push_back(row(key.first, key.second, entry.is_waiting ? TcpState::kTimeWait : TcpState::kEstablished,
                         entry.cookie, 30'000));
    }
    return rows;
  }
};

using Held = std::set<std::tuple<Tuple, std::uint16_t, bool>>;

Held held_of(const Sample& sample) {
  Held held;
  for (const TupleSample& tuple : sample.tuples) {
    for (const PortUse& use : tuple.ports) held.emplace(tuple.tuple, use.port, use.is_mini_socket());
  }
  return held;
}

TEST(SocketLedger, shows_what_a_census_shows_after_any_churn) {
  EXPECT_TRUE(rc::check([] {
    World world;
    Truth truth;
    std::uint64_t next = 100;
    const auto steps = *rc::gen::container<std::vector<std::tuple<int, int, int>>>(
        rc::gen::tuple(rc::gen::inRange(0, 4), rc::gen::inRange(0, 5), rc::gen::inRange(40'000, 40'060)));
    for (const auto& [action, venue, number] : steps) {
      const Tuple tuple{kLocal, Address::v4(0x0a000010U + static_cast<std::uint32_t>(venue)), 9000};
      const auto port = static_cast<std::uint16_t>(number);
      auto& sockets = truth.sockets;
      const auto found = sockets.find({tuple, port});
      const bool is_live = found != sockets.end() && !found->second.is_waiting;
      if (action == 0 && !is_live) {  // also over a TIME_WAIT
        sockets[{tuple, port}] = {++next, false};
        world.tell(Kind::kOpened, port, next, tuple);
      } else if (action == 1 && is_live) {
        found->second.is_waiting = true;
        world.tell(Kind::kTimeWait, port, found->second.cookie, tuple);
      } else if (action == 2 && is_live) {
        world.tell(Kind::kReleased, port, found->second.cookie, tuple);
        sockets.erase(found);
      } else if (action == 3) {
        const auto drift = world.dump(truth.rows());
        RC_ASSERT(drift.missing + drift.phantoms == 0U);
      }
    }
    ListenerBuilder listeners;
    for (const std::uint16_t port : {std::uint16_t{40'050}, std::uint16_t{8080}}) {
      SocketRow listener;
      listener.local = kLocal;
      listener.local_port = port;
      listener.state = TcpState::kListen;
      listeners.on_row(listener);
    }
    CensusBuilder builder(plan().settings(), listeners);
    for (const SocketRow& entry : truth.rows()) builder.on_row(entry);
    Sample expected;
    builder.finish(expected);
    const Sample seen = world.look();
    RC_ASSERT(held_of(seen) == held_of(expected));
    RC_ASSERT(seen.in_range == expected.in_range - 1);  // the listener
    RC_ASSERT(seen.in_range_time_wait == expected.in_range_time_wait);
    RC_ASSERT(world.ledger.sockets() == truth.sockets.size());
  }));
}

TEST(SocketLedger, keeps_thousands_of_ports_that_come_and_go) {
  World world;
  PortSettings settings;
  settings.lo = 20'000;
  settings.hi = 60'000;
  world.ledger.reset(PortPlan(settings, {}), {}, kStart);
  Truth truth;
  std::mt19937_64 random(7);
  std::uint64_t next = 1;
  for (int step = 0; step < 200'000; ++step) {
    const Tuple tuple{kLocal, Address::v4(0x0a000010U + static_cast<std::uint32_t>(random() % 7)), 9000};
    const auto port = static_cast<std::uint16_t>(20'000 + random() % 1'500);
    const auto found = truth.sockets.find({tuple, port});
    const bool is_live = found != truth.sockets.end() && !found->second.is_waiting;
    if (!is_live) {
      truth.sockets[{tuple, port}] = {++next, false};
      world.tell(Kind::kOpened, port, next, tuple);
    } else if (random() % 3 == 0) {
      found->second.is_waiting = true;
      world.tell(Kind::kTimeWait, port, found->second.cookie, tuple);
    } else {
      world.tell(Kind::kReleased, port, found->second.cookie, tuple);
      truth.sockets.erase(found);
    }
    ASSERT_EQ(world.ledger.sockets(), truth.sockets.size()) << step;
  }
  Held expected;
  for (const auto& [key, entry] : truth.sockets) expected.emplace(key.first, key.second, entry.is_waiting);
  EXPECT_EQ(held_of(world.look()), expected);
  const auto drift = world.dump(truth.rows());
  EXPECT_EQ(drift.missing + drift.phantoms, 0U);
}

}  // namespace
}  // namespace tidewaiter::telemetry
