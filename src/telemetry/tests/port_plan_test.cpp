// SPDX-License-Identifier: Apache-2.0
#include "telemetry/port_plan.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tidewaiter::telemetry {
namespace {

const Address kLoopback = Address::v4(0x7f000001);
const Address kRemote = Address::v4(0x0a000007);

PortSet ports(std::initializer_list<std::uint32_t> list) {
  PortSet set;
  for (const auto port : list) set.set(port);
  return set;
}

PortSettings range(std::uint16_t lo, std::uint16_t hi) {
  PortSettings settings;
  settings.lo = lo;
  settings.hi = hi;
  return settings;
}

TEST(PortPlan, counts_both_ends_of_the_range) {
  const PortPlan plan(range(32'768, 60'999), {});
  EXPECT_EQ(plan.size(), 28'232U);
  EXPECT_EQ(plan.capacity(), 28'232U);
  EXPECT_EQ(plan.preferred_capacity(), 14'116U);
  EXPECT_TRUE(plan.is_usable(32'768));
  EXPECT_TRUE(plan.is_usable(60'999));
  EXPECT_FALSE(plan.is_usable(61'000));
}

TEST(PortPlan, subtracts_reserved_and_locked_ports_inside_the_range_once) {
  PortSettings settings = range(40'000, 40'009);
  settings.reserved = ports({40'000, 40'001, 50'000});
  const PortPlan plan(settings, ports({40'001, 40'002, 9'000}));  // 40001 is reserved already, 9000 is outside
  EXPECT_EQ(plan.reserved(), 2U);
  EXPECT_EQ(plan.locked(), 1U);
  EXPECT_EQ(plan.capacity(), 7U);
  EXPECT_EQ(plan.preferred_capacity(), 3U);  // 40004, 40006, 40008
}

TEST(PortPlan, prefers_the_parity_of_the_first_port) {
  const PortPlan odd(range(40'001, 40'010), {});
  EXPECT_TRUE(odd.is_preferred(40'003));
  EXPECT_FALSE(odd.is_preferred(40'002));
  EXPECT_EQ(odd.preferred_capacity(), 5U);
}

TEST(PortPlan, knows_ranges_of_equal_parity_of_one_port_and_of_none) {
  EXPECT_EQ(PortPlan(range(40'000, 40'002), {}).preferred_capacity(), 2U);
  const PortPlan one(range(40'000, 40'000), {});
  EXPECT_EQ(one.capacity(), 1U);
  EXPECT_EQ(one.preferred_capacity(), 1U);
  const PortPlan none(range(40'000, 40'000), ports({40'000}));
  EXPECT_EQ(none.capacity(), 0U);
  const PortPlan whole(range(1, 65'535), {});
  EXPECT_EQ(whole.capacity(), 65'535U);
}

TEST(PortSet, makes_ranges_to_the_bit) {
  for (const auto& [lo, hi] : {std::pair<std::uint16_t, std::uint16_t>{0, 0},
                               {63, 64},
                               {0, 63},
                               {64, 127},
                               {1, 65'535},
                               {65'535, 65'535},
                               {40'000, 41'999}}) {
    const PortSet range = PortSet::range(lo, hi);
    for (std::uint32_t port = 0; port < PortSet::kPorts; ++port)
      ASSERT_EQ(range.test(port), port >= lo && port <= hi) << port;
    EXPECT_EQ(range.count(), 1U + hi - lo);
    EXPECT_EQ(range.count_even() + range.count_odd(), range.count());
  }
  EXPECT_EQ(PortSet::range(1, 4).count_even(), 2U);
}

TEST(PortPlan, conserves_ports) {
  EXPECT_TRUE(rc::check([] {
    const auto lo = *rc::gen::inRange<std::uint32_t>(1, 65'536);
    const auto hi = *rc::gen::inRange<std::uint32_t>(lo, 65'536);
    PortSettings settings = range(static_cast<std::uint16_t>(lo), static_cast<std::uint16_t>(hi));
    PortSet owned;
    for (const auto port : *rc::gen::container<std::vector<std::uint16_t>>(rc::gen::arbitrary<std::uint16_t>()))
      owned.set(port);
    for (const auto port : *rc::gen::container<std::vector<std::uint16_t>>(rc::gen::arbitrary<std::uint16_t>()))
      settings.reserved.set(port);
    const PortPlan plan(settings, owned);
    RC_ASSERT(plan.size() == plan.reserved() + plan.locked() + plan.capacity());
    RC_ASSERT(plan.usable().count() == plan.capacity());
    RC_ASSERT(plan.preferred_capacity() <= plan.capacity());
  }));
}

TEST(TimeWaitReuse, follows_mode_age_and_timestamps) {
  PortSettings settings = range(40'000, 40'999);
  settings.reuse = TimeWaitReuse::kAlways;
  settings.reuse_delay_ms = 1'000;
  EXPECT_TRUE(PortPlan(settings, {}).is_reusable(kLoopback, kRemote, 58'999));
  EXPECT_FALSE(PortPlan(settings, {}).is_reusable(kLoopback, kRemote, 59'000)) << "exactly as old as the delay";
  EXPECT_FALSE(PortPlan(settings, {}).is_reusable(kLoopback, kRemote, 70'000)) << "longer than a TIME_WAIT lasts";

  settings.reuse = TimeWaitReuse::kLoopbackOnly;
  EXPECT_FALSE(PortPlan(settings, {}).is_reusable(kRemote, kRemote, 10));
  EXPECT_TRUE(PortPlan(settings, {}).is_reusable(kLoopback, kRemote, 10)) << "one end is enough";
  EXPECT_TRUE(PortPlan(settings, {}).is_reusable(*parse_address("::1"), *parse_address("::1"), 10));

  settings.timestamps = false;
  EXPECT_FALSE(PortPlan(settings, {}).is_reusable(kLoopback, kLoopback, 10));
  settings.timestamps = true;
  settings.reuse = TimeWaitReuse::kNever;
  EXPECT_FALSE(PortPlan(settings, {}).is_reusable(kLoopback, kLoopback, 10));
}

TEST(Address, folds_v4_mapped_into_ipv4_and_writes_rfc_5952) {
  EXPECT_EQ(parse_address("::ffff:10.0.0.7")->to_string(), "10.0.0.7");
  EXPECT_EQ(parse_address("10.0.0.7"), parse_address("::ffff:a00:7"));
  EXPECT_EQ(parse_address("2001:DB8:0:0:1:0:0:1")->to_string(), "2001:db8::1:0:0:1");
  EXPECT_EQ(endpoint_to_string(*parse_address("::1"), 80), "[::1]:80");
  EXPECT_EQ(endpoint_to_string(kLoopback, 80), "127.0.0.1:80");
  EXPECT_FALSE(parse_address("10.0.0"));
  EXPECT_FALSE(parse_address("[::1]"));
  EXPECT_TRUE(Address::v4(0).is_unspecified());
  EXPECT_TRUE(Address().is_unspecified());
  EXPECT_TRUE(parse_address("127.9.9.9")->is_loopback());
  EXPECT_FALSE(parse_address("128.0.0.1")->is_loopback());
}

}  // namespace
}  // namespace tidewaiter::telemetry
