// SPDX-License-Identifier: Apache-2.0
#include "telemetry/census_builder.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "telemetry/pressure.h"

namespace tidewaiter::telemetry {
namespace {

const Address kLocal = Address::v4(0x7f000001);
const Address kVenue = Address::v4(0x0a000007);

SocketRow socket(std::uint16_t local_port, TcpState state, Address remote = kVenue, std::uint16_t remote_port = 9000) {
  SocketRow row;
  row.local = kLocal;
  row.remote = remote;
  row.local_port = local_port;
  row.remote_port = remote_port;
  row.state = state;
  row.inode = 77;
  row.cookie = local_port;
  return row;
}

SocketRow mini_socket(std::uint16_t local_port, TcpState state, std::uint32_t remaining_ms) {
  SocketRow row = socket(local_port, state);
  row.timer = SocketTimer::kTimeWait;
  row.expires_ms = remaining_ms;
  row.inode = 0;
  return row;
}

SocketRow listener(Address address, std::uint16_t port, std::uint32_t queue = 0, std::uint32_t limit = 128) {
  SocketRow row;
  row.local = address;
  row.local_port = port;
  row.state = TcpState::kListen;
  row.receive_queue = queue;
  row.send_queue = limit;
  row.drops = 3;
  return row;
}

PortSettings small_range() {
  PortSettings settings;
  settings.lo = 40'000;
  settings.hi = 40'009;
  settings.reserved.set(40'008);
  settings.reserved.set(40'009);
  return settings;
}

/// A census of the rows given, over 40000–40009 with two reserved ports.
struct World {
  explicit World(const std::vector<SocketRow>& owners = {}, const PortSettings& settings = small_range()) {
    for (const SocketRow& row : owners) listeners.on_row(row);
    listeners.expect_half_open();
    port_settings = settings;
  }
  Sample look(const std::vector<SocketRow>& rows) {
    CensusBuilder builder(port_settings, listeners);
    for (const SocketRow& row : rows) builder.on_row(row);
    Sample sample;
    builder.finish(sample);
    sample.listeners = listeners.finish();
    return sample;
  }
  ListenerBuilder listeners;
  PortSettings port_settings;
};

TEST(Census, counts_live_and_time_wait_by_parity) {
  World world;
  const Sample sample = world.look(
      {socket(40'000, TcpState::kEstablished), socket(40'001, TcpState::kSynSent), socket(40'003, TcpState::kCloseWait),
       mini_socket(40'002, TcpState::kTimeWait, 59'000), mini_socket(40'005, TcpState::kFinWait2, 30'000)});
  ASSERT_EQ(sample.tuples.size(), 1U);
  const TupleCounts& counts = sample.tuples[0].counts;
  EXPECT_EQ(counts.live, 3U);
  EXPECT_EQ(counts.live_preferred, 1U);
  EXPECT_EQ(counts.time_wait, 2U);
  EXPECT_EQ(counts.time_wait_preferred, 1U);
  EXPECT_EQ(counts.syn_sent, 1U);
  const Pressure pressure = pressure_of(sample.tuples[0], sample.plan);
  EXPECT_EQ(pressure.free, 3U);  // of 8
  EXPECT_EQ(pressure.free_preferred, 2U);
  EXPECT_DOUBLE_EQ(*pressure.ppr, 5.0 / 8);
  EXPECT_DOUBLE_EQ(*pressure.ppr_preferred, 2.0 / 4);
  EXPECT_DOUBLE_EQ(*pressure.twr, 2.0 / 8);
  EXPECT_EQ(pressure.next_release_ms, 59'000U) << "a FIN_WAIT2 mini-socket releases nothing for certain";
}

TEST(Census, keeps_ten_thousand_destinations_apart) {
  World world;
  std::vector<SocketRow> rows;
  for (std::uint32_t n = 0; n < 10'000; ++n)
    rows.push_back(socket(40'000, TcpState::kEstablished, Address::v4(0x0a000000 + n)));
  const Sample sample = world.look(rows);
  ASSERT_EQ(sample.tuples.size(), 10'000U);
  for (const auto& tuple : sample.tuples) ASSERT_EQ(tuple.counts.live, 1U);
}

TEST(Census, tells_an_open_fin_wait_2_from_a_mini_socket) {
  World world;
  SocketRow open_one = socket(40'000, TcpState::kFinWait2);
  open_one.timer = SocketTimer::kKeepAlive;
  SocketRow orphan = socket(40'002, TcpState::kFinWait2);
  orphan.inode = 0;
  const Sample sample = world.look({open_one, orphan, mini_socket(40'004, TcpState::kFinWait2, 60'000)});
  EXPECT_EQ(sample.tuples[0].counts.live, 2U);
  EXPECT_EQ(sample.tuples[0].counts.time_wait, 1U);
}

TEST(Census, keeps_destinations_and_sources_apart) {
  World world;
  SocketRow other_source = socket(40'000, TcpState::kEstablished);
  other_source.local = Address::v4(0x7f000002);
  const Sample sample = world.look({socket(40'000, TcpState::kEstablished), other_source,
                                    socket(40'000, TcpState::kEstablished, kVenue, 9001),
                                    socket(40'000, TcpState::kEstablished, Address::v4(0x0a000008))});
  EXPECT_EQ(sample.tuples.size(), 4U);
  for (const auto& tuple : sample.tuples) EXPECT_EQ(tuple.counts.live, 1U);
  EXPECT_TRUE(std::is_sorted(sample.tuples.begin(), sample.tuples.end(),
                             [](const auto& left, const auto& right) { return left.tuple < right.tuple; }));
}

TEST(Census, takes_sockets_on_a_listeners_port_for_inbound) {
  World world({listener(kLocal, 9000), listener(Address(), 40'002)});
  const Sample sample =
      world.look({socket(9000, TcpState::kEstablished, kVenue, 51'000), mini_socket(40'002, TcpState::kTimeWait, 1'000),
                  socket(40'002, TcpState::kEstablished)});
  EXPECT_TRUE(sample.tuples.empty());
  EXPECT_EQ(sample.plan.locked(), 1U);
  EXPECT_EQ(sample.in_range, 3U) << "two connections and the listener";
  EXPECT_EQ(sample.in_range_time_wait, 1U);
}

TEST(Census, subtracts_no_port_twice_wherever_bound_idle_sockets_come_in_the_dump) {
  // Kernels list them with the state that they have: closed.
  for (const TcpState state : {TcpState::kClose, TcpState::kBoundInactive}) {
    SocketRow bound;
    bound.local = kLocal;
    bound.local_port = 40'004;
    bound.state = state;
    const auto on_its_port = socket(40'004, TcpState::kEstablished);
    const auto beside = socket(40'006, TcpState::kEstablished);
    const auto only_there = socket(40'004, TcpState::kEstablished, kVenue, 9001);
    for (const auto& rows :
         {std::vector{bound, on_its_port, beside, only_there}, std::vector{on_its_port, beside, only_there, bound}}) {
      const Sample sample = World().look(rows);
      EXPECT_EQ(sample.plan.locked(), 1U);
      ASSERT_EQ(sample.tuples.size(), 1U);
      EXPECT_EQ(sample.tuples[0].counts.live, 1U);
      EXPECT_EQ(pressure_of(sample.tuples[0], sample.plan).free, 6U);
    }
  }
}

TEST(Census, shows_ports_that_connect_never_gives_as_outside) {
  World world;
  const Sample sample = world.look({socket(20'000, TcpState::kEstablished), socket(40'008, TcpState::kEstablished)});
  ASSERT_EQ(sample.tuples.size(), 1U);
  EXPECT_EQ(sample.tuples[0].counts.outside_range, 2U);
  EXPECT_EQ(sample.tuples[0].counts.live, 0U);
  EXPECT_EQ(pressure_of(sample.tuples[0], sample.plan).free, 8U);
}

TEST(Census, counts_a_port_once_and_prefers_the_live_socket) {
  World world;
  SocketRow again = socket(40'000, TcpState::kEstablished);
  again.cookie = 99;
  const Sample sample = world.look({mini_socket(40'000, TcpState::kTimeWait, 10), again, again});
  EXPECT_EQ(sample.tuples[0].counts.live, 1U);
  EXPECT_EQ(sample.tuples[0].counts.time_wait, 0U);
  EXPECT_EQ(sample.tuples[0].ports.size(), 1U);
}

TEST(Census, frees_reusable_time_waits) {
  PortSettings settings = small_range();
  settings.reuse = TimeWaitReuse::kAlways;
  World world({}, settings);
  const Sample sample =
      world.look({mini_socket(40'000, TcpState::kTimeWait, 30'000), mini_socket(40'002, TcpState::kTimeWait, 59'500),
                  mini_socket(40'004, TcpState::kFinWait2, 100)});
  const TupleCounts& counts = sample.tuples[0].counts;
  EXPECT_EQ(counts.time_wait, 3U);
  EXPECT_EQ(counts.time_wait_reusable, 1U);
  const Pressure pressure = pressure_of(sample.tuples[0], sample.plan);
  EXPECT_EQ(pressure.free, 6U);
  EXPECT_DOUBLE_EQ(*pressure.twr, 2.0 / 8);
}

TEST(Census, has_no_ratio_without_a_usable_port) {
  PortSettings settings;
  settings.lo = settings.hi = 40'000;
  settings.reserved.set(40'000);
  World world({}, settings);
  const Sample sample = world.look({socket(40'000, TcpState::kEstablished)});
  const Pressure pressure = pressure_of(sample.tuples[0], sample.plan);
  EXPECT_FALSE(pressure.ppr);
  EXPECT_FALSE(pressure.ppr_preferred);
  EXPECT_FALSE(pressure.twr);
  EXPECT_FALSE(host_pressure_of(sample).ppr);
  EXPECT_FALSE(host_pressure_of(sample).ppr_literal);
}

TEST(Census, starts_again_when_the_dump_does) {
  World world({listener(kLocal, 9000)});
  CensusBuilder builder(world.port_settings, world.listeners);
  SocketRow half_open = socket(9000, TcpState::kSynReceived, kVenue, 51'000);
  builder.on_row(socket(40'000, TcpState::kEstablished));
  builder.on_row(half_open);
  SocketRow bound;
  bound.local_port = 40'004;
  builder.on_row(bound);
  builder.on_restart();
  builder.on_row(socket(40'002, TcpState::kEstablished));
  builder.on_row(half_open);
  Sample sample;
  builder.finish(sample);
  ASSERT_EQ(sample.tuples.size(), 1U);
  EXPECT_EQ(sample.tuples[0].counts.live, 1U);
  EXPECT_EQ(sample.plan.locked(), 0U);
  EXPECT_EQ(world.listeners.finish()[0].half_open, 1U);
}

TEST(Listeners, sums_a_reuse_port_group) {
  World world({listener(kLocal, 9000, 2, 10), listener(kLocal, 9000, 1, 10), listener(Address(), 9000)});
  const auto listeners = world.listeners.finish();
  ASSERT_EQ(listeners.size(), 2U);
  const auto& group = listeners[0].address == kLocal ? listeners[0] : listeners[1];
  EXPECT_EQ(group.sockets, 2U);
  EXPECT_EQ(group.accept_queue, 3U);
  EXPECT_EQ(group.accept_limit, 20U);
  EXPECT_EQ(group.drops, 6U);
}

TEST(Listeners, gives_a_half_open_connection_to_the_nearest_listener) {
  World world({listener(kLocal, 9000), listener(Address::v4(0), 9000), listener(Address(), 9001)});
  SocketRow elsewhere = socket(9000, TcpState::kSynReceived);
  elsewhere.local = kVenue;
  world.look({socket(9000, TcpState::kSynReceived), elsewhere, socket(9001, TcpState::kSynReceived)});
  for (const auto& found : world.listeners.finish()) EXPECT_EQ(found.half_open, 1U) << found.address.to_string();
}

TEST(Listeners, does_not_know_half_open_counts_that_were_not_taken) {
  ListenerBuilder listeners;
  listeners.on_row(listener(kLocal, 9000));
  listeners.add_half_open(socket(9000, TcpState::kSynReceived));
  EXPECT_FALSE(listeners.finish()[0].half_open);
}

SocketRow waiting_for(std::uint16_t port, std::uint32_t wait_ms, std::uint64_t cookie) {
  SocketRow row = socket(port, TcpState::kEstablished);
  row.inode = 0;
  row.last_data_sent_ms = wait_ms;
  row.cookie = cookie;
  return row;
}

TEST(Listeners, tell_how_long_each_connection_has_waited_for_accept) {
  World world({listener(kLocal, 9000, 2), listener(kLocal, 9001, 0), listener(kLocal, 9002, 1)});
  world.listeners.add_waiting(waiting_for(9000, 40, 1));
  SocketRow closed_by_its_client = waiting_for(9000, 1'500, 2);
  closed_by_its_client.state = TcpState::kCloseWait;
  world.listeners.add_waiting(closed_by_its_client);
  SocketRow accepted = waiting_for(9000, 9'000, 3);
  accepted.inode = 12;
  world.listeners.add_waiting(accepted);
  world.listeners.add_waiting(waiting_for(9001, 9'000, 4));  // nobody waits there any more
  SocketRow untold = waiting_for(9002, 0, 5);
  untold.last_data_sent_ms.reset();
  world.listeners.add_waiting(untold);
  const auto listeners = world.listeners.finish();
  EXPECT_EQ(listeners[0].waits, (WaitDistribution{2, 40, 1'500, 1'500}));
  EXPECT_FALSE(listeners[1].waits);
  EXPECT_FALSE(listeners[2].waits) << "a wait that is not known is not 0";
}

TEST(Listeners, count_a_waiting_connection_once_however_often_a_dump_shows_it) {
  World world({listener(kLocal, 9000, 2)});
  for (const std::uint32_t wait_ms : {7U, 8U}) world.listeners.add_waiting(waiting_for(9000, wait_ms, 1));
  world.listeners.add_waiting(waiting_for(9000, 90, 2));
  EXPECT_EQ(world.listeners.finish()[0].waits, (WaitDistribution{2, 8, 90, 90}));
  world.listeners.forget_waiting();
  world.listeners.add_waiting(waiting_for(9000, 91, 2));
  EXPECT_EQ(world.listeners.finish()[0].waits, (WaitDistribution{1, 91, 91, 91})) << "the dump started again";
}

TEST(Listeners, ask_the_waiting_of_a_reuse_port_group_as_one) {
  World world({listener(kLocal, 9000, 1), listener(kLocal, 9000, 1)});
  world.listeners.add_waiting(waiting_for(9000, 10, 1));
  world.listeners.add_waiting(waiting_for(9000, 20, 2));
  EXPECT_EQ(world.listeners.finish()[0].waits, (WaitDistribution{2, 10, 20, 20}));
}

TEST(WaitDistribution, has_quantiles_that_are_waits_of_somebody) {
  EXPECT_FALSE(distribution_of({}));
  EXPECT_EQ(distribution_of({5}), (WaitDistribution{1, 5, 5, 5}));
  std::vector<std::uint32_t> waits;
  for (std::uint32_t ms = 100; ms > 0; --ms) waits.push_back(ms);
  EXPECT_EQ(distribution_of(waits), (WaitDistribution{100, 50, 95, 100}));
  waits.push_back(60'000);
  EXPECT_EQ(distribution_of(waits), (WaitDistribution{101, 51, 96, 60'000}));
}

TEST(Listeners, take_half_open_numbers_from_their_own_rows) {
  World world({listener(kLocal, 9000), listener(Address::v4(0), 9000), listener(kLocal, 9001)});
  SocketRow row = listener(kLocal, 9000);
  row.half_open = 5;
  SocketRow other_of_group = row;
  other_of_group.half_open = 2;
  SocketRow since = listener(kLocal, 9002);  // not listed when the listeners were
  since.half_open = 7;
  SocketRow fast_open = socket(9000, TcpState::kSynReceived);
  const Sample sample = world.look({row, other_of_group, since, fast_open});
  EXPECT_EQ(sample.listeners[0].address == kLocal ? sample.listeners[0].half_open : sample.listeners[1].half_open, 8U);
  EXPECT_EQ(sample.listeners[2].half_open, 0U);
  EXPECT_EQ(sample.tuples.size(), 0U);
}

TEST(Listeners, hear_of_waiting_connections_in_the_walk) {
  World world({listener(kLocal, 9000, 1)});
  SocketRow waiting = socket(9000, TcpState::kEstablished);
  waiting.inode = 0;
  waiting.last_data_sent_ms = 40;
  EXPECT_EQ(world.look({waiting}).listeners[0].waits.value().oldest_ms, 40U);
}

TEST(Census, counts_what_was_left_out_in_the_range_alone) {
  World world({listener(kLocal, 40'004)});
  CensusBuilder builder(world.port_settings, world.listeners);
  builder.on_row(socket(40'000, TcpState::kEstablished));
  builder.add_left_out(5, 2);
  Sample sample;
  builder.finish(sample);
  EXPECT_EQ(sample.in_range, 7U) << "the listener itself too";
  EXPECT_EQ(sample.in_range_time_wait, 2U);
  EXPECT_EQ(sample.tuples.at(0).counts.live, 1U);
}

TEST(Census, tells_a_repeated_socket_from_a_second_one_on_its_port) {
  World world;
  SocketRow second = socket(40'001, TcpState::kEstablished);
  second.cookie = 99;
  const SocketRow first = socket(40'000, TcpState::kEstablished);
  const Sample sample = world.look({first, socket(40'001, TcpState::kEstablished), second, first, first});
  EXPECT_EQ(sample.tuples.at(0).counts.live, 2U);
  EXPECT_EQ(sample.cost.repeated, 2U);
}

TEST(Census, keeps_free_and_used_ports_equal_to_the_capacity) {
  EXPECT_TRUE(rc::check([] {
    PortSettings settings = small_range();
    settings.hi = 40'063;
    settings.reuse = static_cast<TimeWaitReuse>(*rc::gen::inRange(0, 3));
    std::vector<SocketRow> owners;
    for (const auto port :
         *rc::gen::container<std::vector<std::uint16_t>>(rc::gen::inRange<std::uint16_t>(39'990, 40'080))) {
      owners.push_back(listener(kLocal, port));
    }
    World world(owners, settings);
    std::vector<SocketRow> rows;
    for (const auto& [port, state] : *rc::gen::container<std::vector<std::pair<std::uint16_t, int>>>(
             rc::gen::pair(rc::gen::inRange<std::uint16_t>(39'990, 40'080), rc::gen::inRange(1, 12)))) {
      rows.push_back(state == 6 ? mini_socket(port, TcpState::kTimeWait, static_cast<std::uint32_t>(port))
                                : socket(port, static_cast<TcpState>(state)));
    }
    const Sample sample = world.look(rows);
    for (const TupleSample& tuple : sample.tuples) {
      const Pressure pressure = pressure_of(tuple, sample.plan);
      PortSet used;
      for (const PortUse& use : tuple.ports) {
        RC_ASSERT(sample.plan.is_usable(use.port));
        RC_ASSERT(!used.test(use.port));
        if (!use.reusable) used.set(use.port);
      }
      RC_ASSERT(pressure.free + used.count() == sample.plan.capacity());
      RC_ASSERT(pressure.free_preferred <= pressure.free);
      RC_ASSERT(tuple.counts.live + tuple.counts.time_wait == tuple.ports.size());
    }
  }));
}

}  // namespace
}  // namespace tidewaiter::telemetry
