// SPDX-License-Identifier: Apache-2.0
// The programs against the kernel that this runs on, in a network namespace of its own.
#include "kernel/connect_probe.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "kernel/early_failures.h"
#include "kernel/tests/connect_fixture.h"

namespace tidewaiter::kernel {
namespace {

using telemetry::Address;
using telemetry::ConnectCause;
using telemetry::ConnectTotals;
using testing::close_by_reset;
using testing::connect_to;
using testing::listen_on;
using testing::PrivateNetwork;

class ConnectProbeTest : public ShapesOfConnectProbe {
 protected:
  void SetUp() override {
    elsewhere_ = base::FileDescriptor(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (auto made = make_network(); !made) GTEST_SKIP() << made.error().message();
    if (auto attached = attach(); !attached) GTEST_SKIP() << attached.error().message();
  }

  /// Runs `work` while the probe looks at another namespace: what happens meanwhile is missed.
  void unseen(const std::function<void()>& work) {
    const auto elsewhere = NetworkNamespace::open("/proc/self/fd/" + std::to_string(elsewhere_.get()));
    const auto self = NetworkNamespace::open("self");
    ASSERT_TRUE(elsewhere && self);
    ASSERT_TRUE(probe_->watch(*elsewhere));
    work();
    ASSERT_TRUE(probe_->watch(*self));
  }

  /// A socket in SYN_SENT, because the listener's accept queue is full.
  struct Waiting {
    base::FileDescriptor listener;
    base::FileDescriptor first;
    base::FileDescriptor socket;
  };
  static Waiting connect_to_a_full_listener() {
    auto listener = listen_on(kLoopback, kPort, 0);
    auto first = connect_to(kLoopback, kPort);
    testing::ConnectOptions waiting;
    waiting.is_non_blocking = true;
    auto socket = connect_to(kLoopback, kPort, waiting);
    EXPECT_TRUE(listener && first && socket);
    return {std::move(*listener), std::move(*first), std::move(*socket)};
  }

  static void wait_for_end(const base::FileDescriptor& socket) {
    pollfd ended{socket.get(), POLLOUT, 0};
    EXPECT_EQ(::poll(&ended, 1, 20'000), 1);
  }

  base::FileDescriptor elsewhere_;  ///< the namespace that the test came from
};

/// Where connect() itself is seen.
class ConnectBeforeSyn : public ConnectProbeTest {};

/// Where a softirq may interrupt the programs, and a second event tells what they missed.
class ConnectRepair : public ConnectProbeTest {};

TEST_P(ConnectProbeTest, counts_what_is_established_and_how_long_it_took) {
  const auto listener = listen_on(kLoopback, kPort, 64);
  ASSERT_TRUE(listener);
  for (int i = 0; i < 7; ++i) {
    auto socket = connect_to(kLoopback, kPort);
    ASSERT_TRUE(socket);
    close_by_reset(std::move(*socket));
  }
  const ConnectTotals seen = totals();
  EXPECT_EQ(counts_of(seen), counted(7, 7));
  EXPECT_EQ(seen.connect.total(), 7U);
  EXPECT_EQ(seen.given_up.total(), 0U);
  EXPECT_EQ(seen.search.total(), 7U);
  EXPECT_GT(seen.search_time, base::Nanoseconds(0));
  EXPECT_LT(seen.search_time, seen.connect_time);
}

TEST_P(ConnectProbeTest, tells_a_refusal_and_who_met_it) {
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(connect_to(kLoopback, kPort));
  const ConnectTotals seen = totals();
  ConnectTotals expected = counted(3, 0);
  ended(expected, ConnectCause::kRefused) = 3;
  expected.retries = 2;
  EXPECT_EQ(counts_of(seen), expected);
  EXPECT_EQ(seen.given_up.total(), 3U);
  int failures = 0;
  int retries = 0;
  for (const auto& event : events()) {
    EXPECT_EQ(event.pid, static_cast<std::uint32_t>(::getpid()));
    EXPECT_EQ(event.command.empty(), is_plain());
    EXPECT_FALSE(event.is_guard());
    failures += event.kind == telemetry::ConnectEvent::Kind::kFailed ? 1 : 0;
    retries += event.kind == telemetry::ConnectEvent::Kind::kRetry ? 1 : 0;
  }
  EXPECT_EQ(failures, 3);
  EXPECT_EQ(retries, 2);
}

TEST_P(ConnectProbeTest, tells_exhaustion_which_no_counter_of_the_kernel_shows) {
  ASSERT_TRUE(network_->set("net/ipv4/ip_local_port_range", "40000 40003"));
  const auto listener = listen_on(kLoopback, kPort, 64);
  std::vector<base::FileDescriptor> held;
  for (int i = 0; i < 4; ++i) {
    auto socket = connect_to(kLoopback, kPort);
    ASSERT_TRUE(socket);
    held.push_back(std::move(*socket));
  }
  for (int i = 0; i < 5; ++i) {
    const auto socket = connect_to(kLoopback, kPort);
    ASSERT_FALSE(socket);
    ASSERT_EQ(socket.error().system_errno, EADDRNOTAVAIL);
  }
  const ConnectTotals seen = totals();
  ConnectTotals expected = counted(9, 4);
  ended(expected, ConnectCause::kAddrNotAvailable) = 5;
  expected.retries = 4;
  EXPECT_EQ(counts_of(seen), expected);
  EXPECT_EQ(seen.search.total(), 9U);
  // It did not wait for anybody's timer.
  pollfd waiting{probe_->descriptor(), POLLIN, 0};
  EXPECT_EQ(::poll(&waiting, 1, 0), 1);
  const auto seen_events = events();
  ASSERT_FALSE(seen_events.empty());
  EXPECT_TRUE(seen_events.front().is_guard());
}

TEST_P(ConnectProbeTest, a_taken_port_of_ones_own_is_a_collision) {
  const auto listener = listen_on(kLoopback, kPort, 64);
  std::array<base::FileDescriptor, 2> sockets;
  std::array<int, 2> errors{};
  for (std::size_t i = 0; i < 2; ++i) {
    sockets[i] = base::FileDescriptor(::socket(AF_INET, SOCK_STREAM, 0));
    const int on = 1;
    ASSERT_EQ(setsockopt(sockets[i].get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in to = from;
    from.sin_port = htons(39999);
    to.sin_port = htons(kPort);
    ASSERT_EQ(::bind(sockets[i].get(), reinterpret_cast<const sockaddr*>(&from), sizeof from), 0);
    errors[i] = ::connect(sockets[i].get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 ? 0 : errno;
  }
  ASSERT_THAT(errors, ::testing::ElementsAre(0, EADDRNOTAVAIL));
  ConnectTotals expected = counted(2, 1);
  ended(expected, ConnectCause::kAddrNotAvailable) = 1;
  expected.collisions = 1;
  EXPECT_EQ(counts_of(totals()), expected);
}

TEST_P(ConnectProbeTest, a_probe_of_one_port_is_no_attempt_when_it_is_taken) {
  const auto listener = listen_on(kLoopback, kPort, 64);
  testing::ConnectOptions pinned;
  pinned.pinned_port = 40000;
  const auto first = connect_to(kLoopback, kPort, pinned);
  ASSERT_TRUE(first);
  for (int i = 0; i < 3; ++i) ASSERT_FALSE(connect_to(kLoopback, kPort, pinned));
  ConnectTotals expected = counted(1, 1);
  expected.port_probes = 3;
  EXPECT_EQ(counts_of(totals()), expected);
}

TEST_P(ConnectProbeTest, v4_mapped_sockets_meet_in_the_tuple_of_ipv4) {
  const auto listener = listen_on(kLoopback, kPort, 64);
  testing::ConnectOptions mapped;
  mapped.use_ipv6_socket = true;
  ASSERT_TRUE(connect_to(kLoopback, kPort, mapped));
  ASSERT_TRUE(connect_to(kLoopback, kPort));
  EXPECT_EQ(counts_of(totals()), counted(2, 2));
}

TEST_P(ConnectBeforeSyn, a_connect_without_a_route_fails_before_its_syn) {
  const Address nowhere = Address::v4(0xc0000201);  // 192.0.2.1
  for (int i = 0; i < 4; ++i) ASSERT_FALSE(connect_to(nowhere, kPort));
  EXPECT_EQ(totals(Address(), nowhere, kPort).attempts, 3U) << "the last call may be on its way";
  const auto reading = probe_->read(now() + EarlyFailures::kSurelyOver);
  ASSERT_TRUE(reading);
  const ConnectTotals* seen = reading->find({Address(), nowhere, kPort});
  ASSERT_NE(seen, nullptr);
  ConnectTotals expected = counted(4, 0);
  expected.pre_syn_unattributed = 4;
  EXPECT_EQ(counts_of(*seen), expected);
  EXPECT_EQ(totals(Address(), nowhere, kPort), *seen);
}

TEST_P(ConnectBeforeSyn, a_thread_that_fails_before_its_syn_and_ends_is_counted) {
  const Address nowhere = Address::v4(0xc0000201);
  std::thread([&] { EXPECT_FALSE(connect_to(nowhere, kPort)); }).join();
  const auto later = now() + EarlyFailures::kSurelyOver;
  for (int i = 0; i < 2; ++i) {  // its thread's memory goes with the first reading
    const auto reading = probe_->read(later);
    ASSERT_TRUE(reading);
    const ConnectTotals* seen = reading->find({Address(), nowhere, kPort});
    ASSERT_NE(seen, nullptr);
    EXPECT_EQ(seen->pre_syn_unattributed, 1U);
  }
}

TEST_P(ConnectProbeTest, other_namespaces_do_not_count) {
  {
    const auto other = PrivateNetwork::create();
    ASSERT_TRUE(other);
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(connect_to(kLoopback, kPort));
  }
  EXPECT_EQ(counts_of(totals()), counted(0, 0));
}

TEST_P(ConnectRepair, an_established_connection_whose_event_was_missed_is_told_from_its_end) {
  Waiting waiting = connect_to_a_full_listener();
  unseen([&] {
    EXPECT_TRUE(testing::accept_from(waiting.listener));
    wait_for_end(waiting.socket);  // its next SYN comes after a second
  });
  close_by_reset(std::move(waiting.socket));
  ConnectTotals expected = counted(2, 2);
  expected.inferred = 1;
  expected.syn_retransmits = 1;
  EXPECT_EQ(counts_of(totals()), expected);
}

TEST_P(ConnectRepair, a_failure_whose_event_was_missed_is_told_from_its_error) {
  const Waiting waiting = connect_to_a_full_listener();
  const int patience_ms = 1'500;
  ASSERT_EQ(setsockopt(waiting.socket.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms), 0);
  unseen([&] { wait_for_end(waiting.socket); });
  ConnectTotals expected = counted(2, 1);
  ended(expected, ConnectCause::kTimeout) = 1;
  expected.syn_retransmits = 1;
  EXPECT_TRUE(eventually([&] { return counts_of(totals()) == expected; }))  // its process is woken before
      << ::testing::PrintToString(totals());
}

TEST_P(ConnectProbeTest, the_table_names_each_source_and_what_it_lacks) {
  ASSERT_FALSE(table_.empty());
  EXPECT_EQ(table_.front().name, "bpf_state");
  EXPECT_EQ(table_.front().is_active, !is_of_cgroup());
  for (const SourceRow& row : table_) EXPECT_EQ(row.is_active, row.needs.empty()) << row.name << ": " << row.needs;
}

INSTANTIATE_TEST_SUITE_P(Shapes, ConnectRepair, ::testing::Values(ConnectVariant::kTyped, ConnectVariant::kRaw),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Shapes, ConnectBeforeSyn, kShapesWithConnectHook, name_of);
INSTANTIATE_TEST_SUITE_P(Shapes, ConnectProbeTest,
                         ::testing::Values(ConnectVariant::kTyped, ConnectVariant::kRaw, ConnectVariant::kCgroup,
                                           ConnectVariant::kCgroupPlain),
                         name_of);

}  // namespace
}  // namespace tidewaiter::kernel
