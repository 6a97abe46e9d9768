// SPDX-License-Identifier: Apache-2.0
#include "telemetry/connect_hints.h"

#include <gtest/gtest.h>

namespace tidewaiter::telemetry {
namespace {

const Address kLocal = Address::v4(0x7f000001);
const Address kVenue = Address::v4(0x0a000007);
constexpr std::uint32_t kUptime = 426'504;

/// A connection that was closed in order.
DestroyedSocket closed() {
  DestroyedSocket socket;
  socket.local = kLocal;
  socket.remote = kVenue;
  socket.local_port = 40'000;
  socket.remote_port = 9'000;
  socket.rtt_us = 82;
  socket.bytes_acked = 2;
  socket.advertised_mss = 65'483;
  socket.last_data_received_ms = 0;
  socket.last_ack_received_ms = 0;
  return socket;
}

/// A connect that did not block, and was refused.
DestroyedSocket refused() {
  DestroyedSocket socket = closed();
  socket.rtt_us = 0;
  socket.bytes_acked = 0;
  socket.last_data_received_ms = socket.last_ack_received_ms = kUptime;
  return socket;
}

/// The same after tcp_disconnect().
DestroyedSocket disconnected(DestroyedSocket socket) {
  socket.local = Address::v4(0);
  socket.remote_port = 0;
  socket.rtt_us = 0;
  socket.bytes_acked = 0;
  socket.last_data_received_ms = kUptime;
  return socket;
}

DestroyedSocket without_port() {
  DestroyedSocket socket = disconnected(refused());
  socket.local_port = 0;
  socket.advertised_mss = 0;
  return socket;
}

DestroyedSocket unused() {
  DestroyedSocket socket = without_port();
  socket.remote = Address::v4(0);
  return socket;
}

TEST(SocketFate, is_established_when_anything_was_acknowledged) {
  EXPECT_EQ(fate_of(closed()), SocketFate::kEstablished);
  DestroyedSocket reset_by_its_peer = closed();
  reset_by_its_peer.rtt_us = 0;  // below a microsecond
  reset_by_its_peer.bytes_acked = 1;
  EXPECT_EQ(fate_of(reset_by_its_peer), SocketFate::kEstablished);
}

TEST(SocketFate, is_established_when_its_own_reset_erased_all_but_the_last_ack) {
  EXPECT_EQ(fate_of(disconnected(closed())), SocketFate::kEstablished);
}

TEST(SocketFate, is_failed_when_nothing_was_acknowledged) {
  EXPECT_EQ(fate_of(refused()), SocketFate::kFailed);
  EXPECT_EQ(fate_of(disconnected(refused())), SocketFate::kFailed) << "as a connect that blocks leaves it";
}

TEST(SocketFate, tells_a_missing_port_from_a_refusal_where_the_kernel_does) {
  EXPECT_EQ(fate_of(without_port()), SocketFate::kAddrNotAvailable);
  DestroyedSocket six = without_port();
  six.is_ipv6_socket = true;
  EXPECT_EQ(fate_of(six), SocketFate::kFailedBeforeSyn) << "it may have had no route";
}

TEST(SocketFate, is_no_connect_without_a_destination) {
  EXPECT_EQ(fate_of(unused()), SocketFate::kNeverConnected);
  DestroyedSocket listener = unused();
  listener.remote = Address();
  listener.local_port = 9'000;
  EXPECT_EQ(fate_of(listener), SocketFate::kNeverConnected);
}

TEST(SocketFate, is_not_known_where_the_kernel_does_not_tell_enough) {
  DestroyedSocket old = refused();
  old.bytes_acked.reset();
  EXPECT_EQ(fate_of(old), SocketFate::kNotKnown);
  DestroyedSocket short_info = disconnected(refused());
  short_info.last_ack_received_ms.reset();
  EXPECT_EQ(fate_of(short_info), SocketFate::kNotKnown);
  short_info.advertised_mss.reset();
  EXPECT_EQ(fate_of(short_info), SocketFate::kNotKnown);
}

TEST(ConnectHints, count_each_tuple_and_where_it_is_erased_each_destination) {
  ConnectHintBuilder builder;
  const PortPlan plan;
  for (int i = 0; i < 3; ++i) builder.add(closed(), plan);
  for (int i = 0; i < 2; ++i) builder.add(refused(), plan);
  for (int i = 0; i < 5; ++i) builder.add(disconnected(refused()), plan);
  for (int i = 0; i < 7; ++i) builder.add(without_port(), plan);
  builder.add(disconnected(closed()), plan);
  builder.add(unused(), plan);
  const ConnectHints hints = builder.take(11);
  ASSERT_EQ(hints.tuples.size(), 1U);
  EXPECT_EQ(hints.tuples[0].tuple, (Tuple{kLocal, kVenue, 9'000}));
  EXPECT_EQ(hints.tuples[0].established, 3U);
  EXPECT_EQ(hints.tuples[0].failed, 2U);
  ASSERT_EQ(hints.destinations.size(), 1U);
  EXPECT_EQ(hints.destinations[0].destination, kVenue);
  EXPECT_EQ(hints.destinations[0].failed, 5U);
  EXPECT_EQ(hints.destinations[0].addr_not_available, 7U);
  EXPECT_EQ(hints.destinations[0].established, 1U);
  EXPECT_EQ(hints.established_seen, 4U);
  EXPECT_EQ(hints.failed_seen, 2U);
  EXPECT_EQ(hints.failed_unknown_tuple, 12U);
  EXPECT_EQ(hints.never_connected, 1U);
  EXPECT_EQ(hints.lost, 11U);
  EXPECT_TRUE(hints.absent.contains("tuples.cfr")) << "what the tier cannot know is said";
  const ConnectHints next = builder.take(0);
  EXPECT_TRUE(next.tuples.empty());
  EXPECT_EQ(next.established_seen, 0U) << "a window counts its own";
}

TEST(ConnectHints, leave_out_what_came_in) {
  PortSettings settings;
  PortSet owned;
  owned.set(40'000);
  ConnectHintBuilder builder;
  builder.add(closed(), PortPlan(settings, owned));
  DestroyedSocket server = closed();
  server.local_port = 443;
  builder.add(server, PortPlan());
  const ConnectHints hints = builder.take(0);
  EXPECT_EQ(hints.not_outbound, 2U);
  EXPECT_TRUE(hints.tuples.empty());
  EXPECT_EQ(hints.established_seen, 0U);
}

TEST(ConnectHints, stay_bounded_and_count_what_has_no_row) {
  ConnectHintBuilder builder;
  const PortPlan plan;
  for (std::uint32_t n = 0; n < ConnectHintBuilder::kMostRows + 10; ++n) {
    DestroyedSocket socket = refused();
    socket.remote = Address::v4(0x0a000000 + n);
    builder.add(socket, plan);
    socket = disconnected(socket);
    builder.add(socket, plan);
  }
  const ConnectHints hints = builder.take(0);
  EXPECT_EQ(hints.tuples.size(), ConnectHintBuilder::kMostRows);
  EXPECT_EQ(hints.destinations.size(), ConnectHintBuilder::kMostRows);
  EXPECT_EQ(hints.unlisted, 20U);
  EXPECT_EQ(hints.failed_seen, ConnectHintBuilder::kMostRows + 10);
}

}  // namespace
}  // namespace tidewaiter::telemetry
