// SPDX-License-Identifier: Apache-2.0
//
// What the kernel tells of sockets at their end, against connects that ended in a known way.
#include "kernel/destroy_listener.h"

#include <chrono>
#include <functional>
#include <gtest/gtest.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "kernel/testing/private_network.h"

namespace tidewaiter::kernel {
namespace {

using base::FileDescriptor;
using telemetry::Address;
using telemetry::ConnectHints;
using testing::accept_from;
using testing::close_by_reset;
using testing::connect_to;
using testing::ConnectOptions;
using testing::listen_on;

const Address kLoopback = Address::v4(0x7f000001);
const Address kLoopback6 = *telemetry::parse_address("::1");
constexpr std::uint16_t kOpenPort = 9'000;
constexpr std::uint16_t kClosedPort = 9'999;
constexpr std::chrono::seconds kDeadline(20);

ConnectOptions non_blocking() {
  ConnectOptions options;
  options.is_non_blocking = true;
  return options;
}

std::uint64_t sockets_in(const ConnectHints& hints) {
  return hints.established_seen + hints.failed_seen + hints.failed_unknown_tuple + hints.never_connected +
         hints.not_outbound + hints.not_known;
}

/// A namespace with a listener of its own, whose port and range are known.
class DestroyListenerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto network = testing::PrivateNetwork::create();
    if (!network) GTEST_SKIP() << network.error().message();
    network_.emplace(std::move(*network));
    set("net/ipv4/ip_local_port_range", "40000 40999");
    set("net/ipv4/tcp_tw_reuse", "0");
    plan_ = plan_of(40'000, 40'999);
    server_ = *listen_on(kLoopback, kOpenPort, 64);
    hear({});
  }

  void set(const char* name, const char* value) {
    const auto done = network_->set(name, value);
    ASSERT_TRUE(done) << done.error().message();
  }

  static telemetry::PortPlan plan_of(std::uint16_t lo, std::uint16_t hi) {
    telemetry::PortSettings settings;
    settings.lo = lo;
    settings.hi = hi;
    return {settings, {}};
  }

  void hear(const DestroyOptions& options) {
    auto opened = DestroyListener::open(options);
    ASSERT_TRUE(opened) << opened.error().message();
    listener_.emplace(std::move(*opened));
  }

  /// Drains until it has heard of `count` sockets: the kernel tells of them from a work queue, a little later.
  ConnectHints hear_of(std::uint64_t count) {
    ConnectHints sum;
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (sockets_in(sum) < count && std::chrono::steady_clock::now() < deadline) {
      pollfd readable{listener_->descriptor().get(), POLLIN, 0};
      poll(&readable, 1, 100);
      EXPECT_TRUE(listener_->drain(plan_));
      add(sum, listener_->take());
    }
    EXPECT_EQ(sockets_in(sum), count);
    EXPECT_EQ(listener_->malformed(), 0U);
    return sum;
  }

  static void add(ConnectHints& sum, const ConnectHints& more) {
    for (const auto field :
         {&ConnectHints::established_seen, &ConnectHints::failed_seen, &ConnectHints::failed_unknown_tuple,
          &ConnectHints::never_connected, &ConnectHints::not_outbound, &ConnectHints::not_known, &ConnectHints::lost}) {
      sum.*field += more.*field;
    }
    for (const auto& row : more.tuples) {
      auto& kept = tuple_row(sum, row.tuple);
      kept.established += row.established;
      kept.failed += row.failed;
    }
    for (const auto& row : more.destinations) {
      auto& kept = destination_row(sum, row.destination);
      kept.established += row.established;
      kept.failed += row.failed;
      kept.addr_not_available += row.addr_not_available;
      kept.failed_before_syn += row.failed_before_syn;
    }
  }

  static ConnectHints::OfTuple& tuple_row(ConnectHints& hints, const telemetry::Tuple& tuple) {
    for (auto& row : hints.tuples) {
      if (row.tuple == tuple) return row;
    }
    return hints.tuples.emplace_back(ConnectHints::OfTuple{tuple});
  }
  static ConnectHints::OfDestination& destination_row(ConnectHints& hints, const Address& destination) {
    for (auto& row : hints.destinations) {
      if (row.destination == destination) return row;
    }
    return hints.destinations.emplace_back(ConnectHints::OfDestination{destination});
  }

  /// A connection and its other end, both to be closed by the caller.
  std::pair<FileDescriptor, FileDescriptor> connection() {
    auto client = connect_to(kLoopback, kOpenPort);
    auto accepted = accept_from(server_);
    EXPECT_TRUE(client && accepted);
    return {std::move(*client), std::move(*accepted)};
  }

  std::optional<testing::PrivateNetwork> network_;
  telemetry::PortPlan plan_;
  FileDescriptor server_;
  std::optional<DestroyListener> listener_;
};

TEST_F(DestroyListenerTest, counts_connections_of_which_either_side_closed_first_or_reset) {
  for (int i = 0; i < 5; ++i) connection();  // the client first
  for (int i = 0; i < 4; ++i) {
    auto [client, accepted] = connection();
    accepted.reset();
  }
  for (int i = 0; i < 3; ++i) {
    auto [client, accepted] = connection();
    close_by_reset(std::move(client));
  }
  for (int i = 0; i < 2; ++i) {
    auto [client, accepted] = connection();
    close_by_reset(std::move(accepted));
  }
  ConnectHints hints = hear_of(2 * (5 + 4 + 3 + 2));
  EXPECT_EQ(hints.established_seen, 14U);
  EXPECT_EQ(hints.not_outbound, 14U) << "the server's ends";
  EXPECT_EQ(hints.failed_seen + hints.failed_unknown_tuple, 0U);
  EXPECT_EQ(tuple_row(hints, {kLoopback, kLoopback, kOpenPort}).established, 11U);
  EXPECT_EQ(destination_row(hints, kLoopback).established, 3U) << "their own reset erased the port";
}

TEST_F(DestroyListenerTest, counts_refusals_with_their_tuple_where_connect_did_not_block) {
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(connect_to(kLoopback, kClosedPort, non_blocking()));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(connect_to(kLoopback, kClosedPort));
  ConnectHints hints = hear_of(10);
  EXPECT_EQ(hints.failed_seen, 6U);
  EXPECT_EQ(tuple_row(hints, {kLoopback, kLoopback, kClosedPort}).failed, 6U);
  EXPECT_EQ(hints.failed_unknown_tuple, 4U);
  EXPECT_EQ(destination_row(hints, kLoopback).failed, 4U);
  EXPECT_EQ(destination_row(hints, kLoopback).addr_not_available, 0U);
}

TEST_F(DestroyListenerTest, tells_a_missing_port_from_every_other_failure) {
  set("net/ipv4/ip_local_port_range", "40000 40001");
  std::vector<FileDescriptor> held;
  for (int i = 0; i < 2; ++i) held.push_back(*connect_to(kLoopback, kOpenPort));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(connect_to(kLoopback, kOpenPort).error().system_errno, EADDRNOTAVAIL);
    EXPECT_EQ(connect_to(kLoopback, kOpenPort, non_blocking()).error().system_errno, EADDRNOTAVAIL);
  }
  EXPECT_FALSE(connect_to(kLoopback, kClosedPort)) << "another destination has all its ports";
  ConnectHints hints = hear_of(7);
  EXPECT_EQ(destination_row(hints, kLoopback).addr_not_available, 6U);
  EXPECT_EQ(destination_row(hints, kLoopback).failed, 1U);
}

TEST_F(DestroyListenerTest, takes_no_idle_socket_for_a_failure) {
  const auto unused = [] { return FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); };
  for (int i = 0; i < 3; ++i) unused();
  EXPECT_TRUE(testing::bind_only(kLoopback, 40'123));
  EXPECT_TRUE(listen_on(kLoopback, 40'124, 4));
  const Address unreachable = Address::v4(0x0a636363);
  EXPECT_EQ(connect_to(unreachable, 80).error().system_errno, ENETUNREACH);
  const ConnectHints hints = hear_of(6);
  EXPECT_EQ(hints.never_connected, 6U) << "an IPv4 socket without a route keeps no destination";
}

TEST_F(DestroyListenerTest, counts_connects_that_their_program_gave_up) {
  const auto full = *listen_on(kLoopback, 9'100, 0);  // admits one
  std::vector<FileDescriptor> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(*connect_to(kLoopback, 9'100, non_blocking()));
  waiting.clear();
  ConnectHints hints = hear_of(5);
  EXPECT_EQ(hints.failed_seen, 4U);
  EXPECT_EQ(hints.established_seen, 1U);
}

TEST_F(DestroyListenerTest, folds_v4_mapped_sockets_and_knows_less_of_ipv6_ones) {
  ConnectOptions mapped = non_blocking();
  mapped.use_ipv6_socket = true;
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(connect_to(kLoopback, kClosedPort, mapped));
  EXPECT_FALSE(connect_to(kLoopback6, kClosedPort));
  EXPECT_EQ(connect_to(*telemetry::parse_address("2001:db8::1"), 80).error().system_errno, ENETUNREACH);
  ConnectHints hints = hear_of(4);
  EXPECT_EQ(tuple_row(hints, {kLoopback, kLoopback, kClosedPort}).failed, 2U);
  EXPECT_EQ(destination_row(hints, kLoopback6).failed, 1U);
  EXPECT_EQ(destination_row(hints, *telemetry::parse_address("2001:db8::1")).failed_before_syn, 1U);
}

TEST_F(DestroyListenerTest, counts_exactly_what_it_was_too_slow_for) {
  DestroyOptions options;
  options.receive_buffer_bytes = 0;  // the kernel's smallest
  hear(options);
  constexpr std::uint64_t kSockets = 300;
  for (std::uint64_t i = 0; i < kSockets; ++i) EXPECT_TRUE(connect_to(kLoopback, kClosedPort, non_blocking()));
  ConnectHints sum;
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (sum.failed_seen + sum.lost < kSockets && std::chrono::steady_clock::now() < deadline) {
    // Only when all have been told of, so that the buffer overflows for certain.
    add(sum, listener_->take());
    if (sum.lost == 0) continue;
    EXPECT_TRUE(listener_->drain(plan_));
  }
  EXPECT_GT(sum.lost, 0U);
  EXPECT_GT(sum.failed_seen, 0U);
  EXPECT_EQ(sum.failed_seen + sum.lost, kSockets) << "nothing is lost silently";
}

TEST_F(DestroyListenerTest, leaves_the_rest_to_the_next_drain) {
  DestroyOptions options;
  options.sockets_per_drain = 64;
  hear(options);
  constexpr std::uint64_t kSockets = 200;
  for (std::uint64_t i = 0; i < kSockets; ++i) EXPECT_TRUE(connect_to(kLoopback, kClosedPort, non_blocking()));
  EXPECT_EQ(hear_of(kSockets).failed_seen, kSockets);
}

TEST_F(DestroyListenerTest, needs_no_privilege) {
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(65'534) != 0 || setuid(65'534) != 0) _exit(2);
    auto unprivileged = DestroyListener::open();
    if (!unprivileged) _exit(3);
    static_cast<void>(connect_to(kLoopback, kClosedPort, non_blocking()));
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (std::chrono::steady_clock::now() < deadline) {
      pollfd readable{unprivileged->descriptor().get(), POLLIN, 0};
      poll(&readable, 1, 100);
      if (!unprivileged->drain(plan_)) _exit(4);
      if (unprivileged->take().failed_seen == 1) _exit(0);
    }
    _exit(5);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(DestroyListener, passes_over_what_it_does_not_understand_and_counts_it) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  DestroyListener listener = DestroyListener::over(FileDescriptor(ends[0]));
  const FileDescriptor kernel(ends[1]);
  const std::string nonsense(100, 'x');
  const std::string too_long(5'000, '\0');
  ASSERT_GT(send(kernel.get(), nonsense.data(), nonsense.size(), 0), 0);
  ASSERT_GT(send(kernel.get(), too_long.data(), too_long.size(), 0), 0);
  const auto more = listener.drain({});
  ASSERT_TRUE(more);
  EXPECT_FALSE(*more);
  EXPECT_EQ(listener.malformed(), 2U);
  EXPECT_EQ(sockets_in(listener.take()), 0U);
}

}  // namespace
}  // namespace tidewaiter::kernel
