// SPDX-License-Identifier: Apache-2.0
//
// How listeners drop SYNs and final ACKs, and how the kernel's counters tell of it.
#include <chrono>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <sys/socket.h>
#include <vector>

#include "kernel/census.h"
#include "kernel/testing/private_network.h"
#include "telemetry/handshake_counters.h"

namespace tidewaiter::kernel {
namespace {

using base::FileDescriptor;
using telemetry::Address;
using testing::connect_to;
using testing::listen_on;

const Address kLoopback = Address::v4(0x7f000001);
constexpr std::uint16_t kPort = 9'000;

class ListenerDropsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto network = testing::PrivateNetwork::create();
    if (!network) GTEST_SKIP() << network.error().message();
    network_.emplace(std::move(*network));
  }

  telemetry::Sample look() {
    auto sample = census_.look({});
    EXPECT_TRUE(sample) << sample.error().message();
    return std::move(*sample);
  }

  void knock() {
    testing::ConnectOptions options;
    options.is_non_blocking = true;
    clients_.push_back(*connect_to(kLoopback, kPort, options));
  }

  static telemetry::ListenerDropCounts counts_between(const telemetry::Sample& before, const telemetry::Sample& after) {
    telemetry::ListenerDropCounts counts;
    counts.counters = telemetry::handshake_deltas(before, after);
    counts.by_listeners = telemetry::listener_drops_between(before, after);
    return counts;
  }

  std::optional<testing::PrivateNetwork> network_;
  Census census_{*NetworkNamespace::open("self")};
  std::vector<FileDescriptor> clients_;
};

TEST_F(ListenerDropsTest, a_syn_that_finds_the_accept_queue_full_counts_once_everywhere) {
  const auto server = *listen_on(kLoopback, kPort, 0);  // admits one
  const auto before = look();
  for (int i = 0; i < 4; ++i) knock();
  const auto after = look();
  auto counts = counts_between(before, after);
  EXPECT_EQ(counts.counters.active_opens, 4U);
  EXPECT_EQ(counts.counters.passive_opens, 1U);
  EXPECT_EQ(counts.counters.listen_overflows, 3U);
  EXPECT_EQ(counts.counters.listen_drops, 3U);
  EXPECT_EQ(counts.by_listeners, 3U);
  counts.final_acks = 0;  // no kfree_skb event comes of a SYN
  const auto drops = telemetry::split_listener_drops(counts);
  EXPECT_EQ(drops.dropped_syns, 3U);
  EXPECT_EQ(drops.dropped_final_acks, 0U);
  EXPECT_EQ(drops.otherwise, 0U);
  EXPECT_EQ(drops.estimated_final_acks, 0U) << "and tier 0 guesses the same";
}

TEST_F(ListenerDropsTest, a_final_ack_that_finds_the_accept_queue_full_counts_twice_with_the_listener) {
  const auto server = *listen_on(kLoopback, kPort, 0);
  // With deferred accept a handshake waits half open for the first data: so both are admitted, and one comes too late.
  const int seconds = 30;
  ASSERT_EQ(setsockopt(server.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds), 0);
  knock();
  knock();
  const auto before = look();
  for (const auto& client : clients_) ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
  const auto after = look();
  auto counts = counts_between(before, after);
  EXPECT_EQ(counts.counters.listen_overflows, 1U);
  EXPECT_EQ(counts.counters.listen_drops, 1U);
  EXPECT_EQ(counts.by_listeners, 2U);
  counts.final_acks = 1;  // what kfree_skb tells with the reason TCP_LISTEN_OVERFLOW
  const auto drops = telemetry::split_listener_drops(counts);
  EXPECT_EQ(drops.dropped_syns, 0U);
  EXPECT_EQ(drops.dropped_final_acks, 1U);
  EXPECT_EQ(drops.estimated_final_acks, 1U);
  EXPECT_EQ(after.listeners.at(0).half_open, 1U) << "its client believes itself connected";
}

TEST_F(ListenerDropsTest, a_full_half_open_queue_is_told_from_a_full_accept_queue) {
  ASSERT_TRUE(network_->set("net/ipv4/tcp_syncookies", "0"));
  ASSERT_TRUE(network_->set("net/ipv4/tcp_max_syn_backlog", "1024"));
  const auto server = *listen_on(kLoopback, kPort, 1);
  const int seconds = 30;
  ASSERT_EQ(setsockopt(server.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds), 0);
  const auto before = look();
  for (int i = 0; i < 5; ++i) knock();
  const auto drops = telemetry::split_listener_drops(counts_between(before, look()));
  EXPECT_GT(drops.half_open_full, 0U);
  EXPECT_EQ(drops.otherwise, 0U);
  EXPECT_EQ(drops.dropped_syns, 0U) << "no accept queue overflowed: known without any hook";
}

TEST_F(ListenerDropsTest, the_counters_show_refusals_and_repeated_syns) {
  const auto before = look();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(connect_to(kLoopback, 9'999));
  const auto refused = telemetry::handshake_deltas(before, look());
  EXPECT_EQ(refused.active_opens, 3U);
  EXPECT_EQ(refused.attempt_fails, 3U);
  EXPECT_EQ(refused.syn_retransmits, 0U);

  const auto server = *listen_on(kLoopback, kPort, 0);
  knock();
  knock();  // its SYN is dropped, and repeated after a second
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  telemetry::HandshakeDeltas deltas;
  while (deltas.syn_retransmits.value_or(0) == 0 && std::chrono::steady_clock::now() < deadline) {
    deltas = telemetry::handshake_deltas(before, look());
  }
  EXPECT_GE(deltas.syn_retransmits, 1U);
  EXPECT_GE(deltas.timeouts, 1U);
}

}  // namespace
}  // namespace tidewaiter::kernel
