// SPDX-License-Identifier: Apache-2.0
#include "agent/board_records.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

#include "agent/tests/snapshot_samples.h"

namespace tidewaiter::agent {
namespace {

using control::State;

TEST(BoardRecords, key_has_both_addresses_in_network_order_port_and_namespace) {
  const tw_tuple key = board_key(tuple_to(9'000), "blue");
  const std::uint8_t source[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
  const std::uint8_t destination[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 7};
  EXPECT_EQ(std::memcmp(key.source, source, 16), 0);
  EXPECT_EQ(std::memcmp(key.destination, destination, 16), 0);
  EXPECT_EQ(key.port, 9'000);
  EXPECT_EQ(key.netns_hash, tw_netns_hash("blue"));
  EXPECT_NE(key.netns_hash, tw_netns_hash("self"));
}

TEST(BoardRecords, parameters_that_are_legacy_are_nan) {
  const tw_parameters green = board_parameters({});
  EXPECT_EQ(green.clip_scale, 1.0);
  EXPECT_TRUE(std::isnan(green.catch_up_cap));
  EXPECT_TRUE(std::isnan(green.retry_rate_per_s));
  EXPECT_TRUE(std::isnan(green.connect_rate_per_s));
  EXPECT_EQ(green.launch_jitter_max_ms, 0U);
  EXPECT_EQ(green.max_new_connects, 64U);
  EXPECT_EQ(green.pool_reuse, TW_POOL_PREFER);
  EXPECT_EQ(green.optional_reconnects, TW_RECONNECTS_YES);
  EXPECT_EQ(green.non_urgent_flow, TW_FLOW_SEND);
  EXPECT_EQ(green.urgency_override, TW_URGENCY_FREE);
}

TEST(BoardRecords, every_parameter_arrives) {
  control::Parameters parameters;
  parameters.order = {0.7, base::Milliseconds(100), 1.25, control::NonUrgentFlow::kContained,
                      control::UrgencyOverride::kApproval};
  parameters.connection = {0.5, 3.0, 4, 47.0, control::PoolReuse::kWarmOnly, control::OptionalReconnects::kFrozen};
  const tw_parameters written = board_parameters(parameters);
  EXPECT_EQ(written.clip_scale, 0.7);
  EXPECT_EQ(written.launch_jitter_max_ms, 100U);
  EXPECT_EQ(written.catch_up_cap, 1.25);
  EXPECT_EQ(written.non_urgent_flow, TW_FLOW_CONTAINED);
  EXPECT_EQ(written.urgency_override, TW_URGENCY_APPROVAL);
  EXPECT_EQ(written.retry_rate_per_s, 0.5);
  EXPECT_EQ(written.retry_burst, 3U);
  EXPECT_EQ(written.max_new_connects, 4U);
  EXPECT_EQ(written.connect_rate_per_s, 47.0);
  EXPECT_EQ(written.pool_reuse, TW_POOL_WARM_ONLY);
  EXPECT_EQ(written.optional_reconnects, TW_RECONNECTS_FROZEN);
}

TEST(BoardRecords, host_has_state_since_modes_and_the_three_sets) {
  const auto snapshot = snapshot_of(look_at({{9'000, 900}}), {decision_for(9'000, State::kRed)});
  const tw_record host = board_host(*snapshot);
  EXPECT_EQ(host.state, TW_RED);
  EXPECT_EQ(host.since_ns, moment(-30).steady.time_since_epoch().count());
  EXPECT_DOUBLE_EQ(host.p_stress, 0.85);
  EXPECT_EQ(host.peer_fault, 0);
  EXPECT_EQ(host.connection_mode, TW_MODE_ENFORCE);
  EXPECT_EQ(host.order_mode, TW_MODE_SHADOW);
  EXPECT_EQ(host.live.clip_scale, 0.7);
  EXPECT_EQ(host.enforced.clip_scale, 1.0) << "orders are in shadow";
  EXPECT_EQ(host.enforced.max_new_connects, 1U) << "connections are enforced";
  EXPECT_EQ(host.stale.non_urgent_flow, TW_FLOW_CONTAINED) << "after RED holds are not released";
}

TEST(BoardRecords, pressure_that_is_not_known_is_nan) {
  const auto snapshot = snapshot_of(look_at({}), {});
  EXPECT_TRUE(std::isnan(board_host(*snapshot).p_stress));
  auto decision = decision_for(9'000, State::kGreen);
  decision.decision.stress.reset();
  const auto tuples = board_tuples(*snapshot_of(look_at({{9'000, 20}}), {decision}));
  ASSERT_EQ(tuples.size(), 1U);
  EXPECT_TRUE(std::isnan(tuples[0].p_stress));
}

TEST(BoardRecords, tuple_has_its_key_and_every_field) {
  auto decision = decision_for(9'000, State::kOrange);
  decision.decision.has_peer_fault = true;
  const auto tuples = board_tuples(*snapshot_of(look_at({{9'000, 900}}), {decision}));
  ASSERT_EQ(tuples.size(), 1U);
  const tw_tuple key = board_key(tuple_to(9'000), "self");
  EXPECT_EQ(std::memcmp(&tuples[0].key, &key, sizeof key), 0);
  EXPECT_EQ(tuples[0].state, TW_ORANGE);
  EXPECT_EQ(tuples[0].since_ns, moment(-30).steady.time_since_epoch().count());
  EXPECT_EQ(tuples[0].p_stress, 0.65);
  EXPECT_EQ(tuples[0].peer_fault, 1);
  EXPECT_EQ(tuples[0].connection_mode, TW_MODE_ENFORCE);
  EXPECT_EQ(tuples[0].order_mode, TW_MODE_SHADOW);
  EXPECT_EQ(tuples[0].live.clip_scale, 0.85);
  EXPECT_EQ(tuples[0].enforced.clip_scale, 1.0);
  EXPECT_EQ(tuples[0].enforced.max_new_connects, 4U);
  EXPECT_EQ(tuples[0].stale.max_new_connects, 4U);
}

TEST(BoardRecords, worst_state_comes_first_then_most_pressure) {
  auto calm = decision_for(9'001, State::kGreen);
  calm.features.ppr = 0.02;
  auto busy = decision_for(9'002, State::kGreen);
  busy.features.ppr = 0.3;
  auto red = decision_for(9'003, State::kRed);
  red.features.ppr = 0.01;
  const auto tuples = board_tuples(*snapshot_of(look_at({}), {calm, busy, red}));
  ASSERT_EQ(tuples.size(), 3U);
  EXPECT_EQ(tuples[0].key.port, 9'003);
  EXPECT_EQ(tuples[1].key.port, 9'002);
  EXPECT_EQ(tuples[2].key.port, 9'001);
}

}  // namespace
}  // namespace tidewaiter::agent
