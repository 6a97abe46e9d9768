// SPDX-License-Identifier: Apache-2.0
#include "telemetry/handshake_counters.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tidewaiter::telemetry {
namespace {

ListenerDropCounts counted(std::uint64_t overflows, std::uint64_t drops) {
  ListenerDropCounts counts;
  counts.counters.listen_overflows = overflows;
  counts.counters.listen_drops = drops;
  counts.counters.half_open_drops = 0;
  counts.counters.syncookies_received = 0;
  return counts;
}

TEST(HandshakeDeltas, are_differences_of_counters_that_both_looks_have) {
  Sample before;
  Sample after;
  before.counters = {{"Tcp.ActiveOpens", 10}, {"TcpExt.TCPSynRetrans", 7}, {"TcpExt.TCPTimeouts", std::nullopt}};
  after.counters = {{"Tcp.ActiveOpens", 15}, {"TcpExt.TCPSynRetrans", 3}, {"TcpExt.TCPTimeouts", 4}};
  const HandshakeDeltas deltas = handshake_deltas(before, after);
  EXPECT_EQ(deltas.active_opens, 5U);
  EXPECT_FALSE(deltas.syn_retransmits) << "a counter that went back is another namespace's";
  EXPECT_FALSE(deltas.timeouts) << "one look alone gives no difference";
  EXPECT_FALSE(deltas.attempt_fails) << "this kernel has none";
}

ListenerSample listener(std::uint16_t port, std::optional<std::uint32_t> drops) {
  ListenerSample sample;
  sample.port = port;
  sample.drops = drops;
  return sample;
}

TEST(ListenerDropsBetween, counts_a_listener_that_is_made_anew_from_its_start) {
  Sample before;
  Sample after;
  before.listeners = {listener(80, 5), listener(81, 9), listener(82, 1)};
  after.listeners = {listener(80, 8), listener(81, 2), listener(83, 4)};
  EXPECT_EQ(listener_drops_between(before, after), 3U + 2U + 4U);
  after.listeners.push_back(listener(84, std::nullopt));
  EXPECT_FALSE(listener_drops_between(before, after));
}

TEST(ListenerDrops, are_split_by_the_hook) {
  ListenerDropCounts counts = counted(9, 12);
  counts.counters.half_open_drops = 2;
  counts.final_acks = 4;
  const ListenerDrops drops = split_listener_drops(counts);
  EXPECT_EQ(drops.dropped_final_acks, 4U);
  EXPECT_EQ(drops.dropped_syns, 5U);
  EXPECT_EQ(drops.half_open_full, 2U);
  EXPECT_EQ(drops.otherwise, 1U);
  EXPECT_TRUE(drops.absent.empty());
}

TEST(ListenerDrops, are_not_split_without_the_hook_unless_there_are_none) {
  const ListenerDrops drops = split_listener_drops(counted(9, 9));
  EXPECT_FALSE(drops.dropped_syns);
  EXPECT_FALSE(drops.dropped_final_acks);
  EXPECT_NE(drops.absent.at("dropped_syns").find("tier 1"), std::string::npos);
  const ListenerDrops none = split_listener_drops(counted(0, 0));
  EXPECT_EQ(none.dropped_syns, 0U);
  EXPECT_EQ(none.dropped_final_acks, 0U);
  EXPECT_TRUE(none.absent.empty());
}

TEST(ListenerDrops, are_estimated_from_what_listeners_count_twice) {
  ListenerDropCounts counts = counted(9, 10);
  counts.by_listeners = 13;
  EXPECT_EQ(split_listener_drops(counts).estimated_final_acks, 3U);
  counts.by_listeners = 9;  // one closed meanwhile
  EXPECT_EQ(split_listener_drops(counts).estimated_final_acks, 0U);
  counts.by_listeners = 500;
  EXPECT_EQ(split_listener_drops(counts).estimated_final_acks, 9U) << "no more than overflows";
  counts.by_listeners.reset();
  EXPECT_FALSE(split_listener_drops(counts).estimated_final_acks);
}

TEST(ListenerDrops, are_not_split_while_syncookies_hide_final_acks) {
  ListenerDropCounts counts = counted(9, 9);
  counts.counters.syncookies_received = 3;
  counts.final_acks = 4;
  EXPECT_FALSE(split_listener_drops(counts).dropped_syns);
  EXPECT_FALSE(split_listener_drops(counts).dropped_final_acks);
  counts.final_acks = 9;
  EXPECT_EQ(split_listener_drops(counts).dropped_final_acks, 9U) << "nothing is left over to be hidden";
  EXPECT_EQ(split_listener_drops(counts).dropped_syns, 0U);
}

TEST(ListenerDrops, are_absent_without_counters) {
  ListenerDropCounts counts;
  counts.final_acks = 3;
  const ListenerDrops drops = split_listener_drops(counts);
  EXPECT_FALSE(drops.dropped_syns);
  EXPECT_FALSE(drops.otherwise);
  EXPECT_EQ(drops.ahead, 0U) << "their counters are lost with the window";
  EXPECT_FALSE(drops.absent.empty());
}

TEST(ListenerDrops, add_up_to_the_overflows_over_windows_read_at_different_times) {
  EXPECT_TRUE(rc::check([] {
    // The hook is read after the counters: it may be ahead of them, never behind.
    const auto windows = *rc::gen::container<std::vector<std::tuple<std::uint8_t, std::uint8_t, std::uint8_t>>>(
        rc::gen::arbitrary<std::tuple<std::uint8_t, std::uint8_t, std::uint8_t>>());
    std::uint64_t true_syns = 0, true_acks = 0, syns = 0, acks = 0, late = 0, ahead = 0;
    for (const auto& [new_syns, new_acks, between] : windows) {
      // `between` final ACKs come after the counters are read and before the hook is.
      ListenerDropCounts counts = counted(std::uint64_t{new_syns} + new_acks + late, 1'000);
      counts.final_acks = std::uint64_t{new_acks} + between;
      counts.ahead = ahead;
      const ListenerDrops drops = split_listener_drops(counts);
      RC_ASSERT(*drops.dropped_syns + *drops.dropped_final_acks == *counts.counters.listen_overflows);
      true_syns += new_syns;
      true_acks += std::uint64_t{new_acks} + between;
      syns += *drops.dropped_syns;
      acks += *drops.dropped_final_acks;
      late = between;
      ahead = drops.ahead;
    }
    RC_ASSERT(acks + ahead == true_acks);
    RC_ASSERT(ahead <= late);
    RC_ASSERT(syns + late == true_syns + ahead);
  }));
}

}  // namespace
}  // namespace tidewaiter::telemetry
