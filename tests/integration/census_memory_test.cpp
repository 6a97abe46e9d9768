// SPDX-License-Identifier: Apache-2.0
//
// What a census remembers from look to look.
#include <gtest/gtest.h>

#include "kernel/census.h"
#include "kernel/testing/private_network.h"

namespace tidewaiter {
namespace {

using kernel::testing::accept_from;
using kernel::testing::connect_to;
using kernel::testing::listen_on;

const telemetry::Address kLoopback = telemetry::Address::v4(0x7f000001);
constexpr std::uint16_t kPort = 9000;

base::Moment at(int seconds) { return {base::Instant(base::Seconds(1000 + seconds)), base::WallTime{}}; }

std::size_t outbound_to_others(const telemetry::Sample& sample) {
  std::size_t tuples = 0;
  for (const auto& tuple : sample.tuples) tuples += tuple.tuple.destination_port == kPort ? 0 : 1;
  return tuples;
}

class CensusMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    auto network = kernel::testing::PrivateNetwork::create();
    if (!network) GTEST_SKIP() << network.error().message();
    network_.emplace(std::move(*network));
  }
  std::optional<kernel::testing::PrivateNetwork> network_;
};

TEST_F(CensusMemory, does_not_take_the_clients_of_a_closed_listener_for_destinations) {
  auto listener = listen_on(kLoopback, kPort, 16);
  ASSERT_TRUE(listener);
  const auto client = connect_to(kLoopback, kPort);
  const auto server = accept_from(*listener);
  ASSERT_TRUE(client && server);
  kernel::Census census(*kernel::NetworkNamespace::open("self"));
  ASSERT_EQ(outbound_to_others(census.look(at(0)).value()), 0U);
  listener->reset();
  EXPECT_EQ(outbound_to_others(census.look(at(1)).value()), 0U);
  EXPECT_EQ(outbound_to_others(census.look(at(125)).value()), 0U);
  EXPECT_EQ(outbound_to_others(census.look(at(126)).value()), 1U) << "nothing shows any more that it was a server";
}

TEST_F(CensusMemory, locks_a_port_that_was_listened_on_for_as_long) {
  ASSERT_TRUE(network_->set("net/ipv4/ip_local_port_range", "9000 9099"));
  auto listener = listen_on(kLoopback, kPort, 16);
  ASSERT_TRUE(listener);
  kernel::Census census(*kernel::NetworkNamespace::open("self"));
  EXPECT_EQ(census.look(at(0)).value().plan.locked(), 1U);
  listener->reset();
  EXPECT_EQ(census.look(at(100)).value().plan.locked(), 1U);
  EXPECT_EQ(census.look(at(126)).value().plan.locked(), 0U);
}

}  // namespace
}  // namespace tidewaiter
