// SPDX-License-Identifier: Apache-2.0
//
// The census by BPF iterator against the census by sock_diag: the same sample of the same sockets, socket by socket.
#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <thread>

#include "kernel/census.h"
#include "kernel/testing/private_network.h"
#include "telemetry/rates.h"

namespace tidewaiter {
namespace {

using base::FileDescriptor;
using kernel::LookDepth;
using kernel::LookMethod;
using kernel::LookOptions;
using kernel::testing::accept_from;
using kernel::testing::connect_to;
using kernel::testing::ConnectOptions;
using kernel::testing::listen_on;
using telemetry::Address;
using telemetry::LookSource;
using telemetry::PortHolder;
using telemetry::Sample;

const Address kLoopback = Address::v4(0x7f000001);
const Address kOther = Address::v4(0x7f000102);
const Address kLoopback6 = *telemetry::parse_address("::1");

/// Ports of one tuple by number, without what depends on the moment.
struct Held {
  std::uint16_t port;
  std::uint64_t cookie;
  PortHolder holder;
  bool reusable;
  friend auto operator<=>(const Held&, const Held&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Held& held) {
    return out << held.port << " by " << held.cookie << " (" << static_cast<int>(held.holder)
               << (held.reusable ? ", reusable)" : ")");
  }
};

std::vector<Held> held_of(const telemetry::TupleSample& tuple) {
  std::vector<Held> held;
  for (const auto& use : tuple.ports) held.push_back({use.port, use.cookie, use.holder, use.reusable});
  std::sort(held.begin(), held.end());
  return held;
}

std::map<std::uint16_t, std::uint32_t> remaining_of(const telemetry::TupleSample& tuple) {
  std::map<std::uint16_t, std::uint32_t> remaining;
  for (const auto& use : tuple.ports) remaining[use.port] = use.remaining_ms;
  return remaining;
}

void expect_same_tuple(const telemetry::TupleSample& dumped, const telemetry::TupleSample& walked) {
  SCOPED_TRACE(telemetry::endpoint_to_string(dumped.tuple.destination, dumped.tuple.destination_port));
  EXPECT_EQ(dumped.tuple, walked.tuple);
  EXPECT_EQ(held_of(dumped), held_of(walked));
  EXPECT_EQ(dumped.counts.live, walked.counts.live);
  EXPECT_EQ(dumped.counts.live_preferred, walked.counts.live_preferred);
  EXPECT_EQ(dumped.counts.time_wait, walked.counts.time_wait);
  EXPECT_EQ(dumped.counts.time_wait_preferred, walked.counts.time_wait_preferred);
  EXPECT_EQ(dumped.counts.time_wait_reusable, walked.counts.time_wait_reusable);
  EXPECT_EQ(dumped.counts.outside_range, walked.counts.outside_range);
  EXPECT_EQ(dumped.counts.syn_sent, walked.counts.syn_sent);
  EXPECT_EQ(dumped.counts.syn_retransmitted, walked.counts.syn_retransmitted);
  EXPECT_EQ(dumped.counts.next_release_ms.has_value(), walked.counts.next_release_ms.has_value());
  const auto later = remaining_of(walked);
  for (const auto& [port, remaining_ms] : remaining_of(dumped)) {
    EXPECT_LE(later.at(port), remaining_ms) << "port " << port;
    EXPECT_GE(later.at(port) + 1'000, remaining_ms) << "port " << port;
  }
}

void expect_same(const Sample& dumped, const Sample& walked) {
  EXPECT_EQ(dumped.source, LookSource::kSockDiag);
  EXPECT_EQ(walked.source, LookSource::kIterator);
  EXPECT_EQ(dumped.plan.usable(), walked.plan.usable());
  EXPECT_EQ(dumped.plan.locked(), walked.plan.locked());
  EXPECT_EQ(dumped.plan.reserved(), walked.plan.reserved());
  EXPECT_EQ(dumped.in_range, walked.in_range);
  EXPECT_EQ(dumped.in_range_time_wait, walked.in_range_time_wait);
  EXPECT_EQ(walked.cost.repeated, 0U);
  ASSERT_EQ(dumped.tuples.size(), walked.tuples.size());
  for (std::size_t i = 0; i < dumped.tuples.size(); ++i) expect_same_tuple(dumped.tuples[i], walked.tuples[i]);
  ASSERT_EQ(dumped.listeners.size(), walked.listeners.size());
  for (std::size_t i = 0; i < dumped.listeners.size(); ++i) {
    const auto& left = dumped.listeners[i];
    const auto& right = walked.listeners[i];
    SCOPED_TRACE(telemetry::endpoint_to_string(left.address, left.port));
    EXPECT_EQ(left.address, right.address);
    EXPECT_EQ(left.port, right.port);
    EXPECT_EQ(left.sockets, right.sockets);
    EXPECT_EQ(left.accept_queue, right.accept_queue);
    EXPECT_EQ(left.accept_limit, right.accept_limit);
    if (left.half_open) {  // a short look by sock_diag does not count them
      EXPECT_EQ(left.half_open, right.half_open);
    }
    EXPECT_EQ(left.drops, right.drops);
    ASSERT_EQ(left.waits.has_value(), right.waits.has_value());
    if (!left.waits) continue;
    EXPECT_EQ(left.waits->count, right.waits->count);
    EXPECT_LE(left.waits->oldest_ms, right.waits->oldest_ms) << "the walk came later";
    EXPECT_GE(left.waits->oldest_ms + 1'000, right.waits->oldest_ms);
  }
}

/// A namespace of its own with a range of 200 ports, ten of them reserved.
class CensusByIterator : public ::testing::Test {
 protected:
  void SetUp() override {
    auto network = kernel::testing::PrivateNetwork::create();
    if (!network) GTEST_SKIP() << network.error().message();
    network_.emplace(std::move(*network));
    LookOptions options;
    options.method = LookMethod::kIterator;
    const auto source = kernel::iterator_source(options);
    if (!source.is_active) GTEST_SKIP() << "bpf_iter needs " << source.needs;
    set("net/ipv4/ip_local_port_range", "40000 40199");
    set("net/ipv4/ip_local_reserved_ports", "40010-40019");
    set("net/ipv4/tcp_tw_reuse", "0");
  }

  void set(const char* name, const char* value) {
    const auto done = network_->set(name, value);
    ASSERT_TRUE(done) << done.error().message();
  }

  const FileDescriptor& keep(base::Result<FileDescriptor> socket) {
    EXPECT_TRUE(socket) << socket.error().message();
    open_.push_back(socket ? std::move(*socket) : FileDescriptor());
    return open_.back();
  }

  void live(const FileDescriptor& listener, Address to, std::uint16_t port, const ConnectOptions& options = {}) {
    keep(connect_to(to, port, options));
    keep(accept_from(listener));
  }
  void time_wait(const FileDescriptor& listener, Address to, std::uint16_t port, const ConnectOptions& options = {}) {
    auto client = connect_to(to, port, options);
    auto server = accept_from(listener);
    ASSERT_TRUE(client && server);
    client->reset();
    server->reset();
  }

  static kernel::Census census(LookMethod method, LookDepth depth = LookDepth::kFull) {
    LookOptions options;
    options.method = method;
    options.depth = depth;
    options.full_up_to_sockets = 0;
    return kernel::Census(std::move(*kernel::NetworkNamespace::open("self")), options);
  }

  static Sample look(LookMethod method, LookDepth depth = LookDepth::kFull) {
    auto sample = census(method, depth).look({});
    EXPECT_TRUE(sample) << sample.error().message();
    return std::move(*sample);
  }

  /// Looks both ways until the dumps before and after the walk agree: nothing was on its way. Then compares.
  Sample look_and_compare(LookDepth depth = LookDepth::kFull) {
    for (int tries = 0; tries < 1'000; ++tries) {
      const Sample before = look(LookMethod::kSockDiag, depth);
      Sample walked = look(LookMethod::kIterator, depth);
      const Sample after = look(LookMethod::kSockDiag, depth);
      const bool is_settled = std::equal(before.tuples.begin(), before.tuples.end(), after.tuples.begin(),
                                         after.tuples.end(), [](const auto& left, const auto& right) {
                                           return left.tuple == right.tuple && held_of(left) == held_of(right) &&
                                                  left.counts.syn_retransmitted == right.counts.syn_retransmitted;
                                         });
      if (!is_settled) continue;
      expect_same(before, walked);
      return walked;
    }
    ADD_FAILURE() << "the sockets did not settle";
    return {};
  }

  std::optional<kernel::testing::PrivateNetwork> network_;
  std::vector<FileDescriptor> open_;
};

TEST_F(CensusByIterator, sees_ipv4_ipv6_and_v4_mapped_sockets_as_sock_diag_does) {
  const auto four = listen_on(kLoopback, 9000, 64);
  const auto dual = listen_on(Address(), 9100, 64);
  for (int i = 0; i < 7; ++i) live(*four, kLoopback, 9000);
  for (int i = 0; i < 5; ++i) live(*dual, kLoopback6, 9100);
  ConnectOptions mapped;
  mapped.use_ipv6_socket = true;
  for (int i = 0; i < 3; ++i) live(*dual, kLoopback, 9100, mapped);
  for (int i = 0; i < 2; ++i) live(*dual, kLoopback, 9100);
  for (int i = 0; i < 4; ++i) time_wait(*dual, kLoopback6, 9100);
  for (int i = 0; i < 2; ++i) time_wait(*dual, kLoopback, 9100, mapped);
  const Sample sample = look_and_compare();
  ASSERT_EQ(sample.tuples.size(), 3U);
  const auto* const mapped_too = std::find_if(sample.tuples.data(), sample.tuples.data() + 3, [](const auto& tuple) {
    return tuple.tuple.destination == kLoopback && tuple.tuple.destination_port == 9100;
  });
  EXPECT_EQ(mapped_too->counts.live, 5U) << "one tuple, whatever the socket's family";
  EXPECT_EQ(mapped_too->counts.time_wait, 2U);
}

TEST_F(CensusByIterator, sees_every_way_a_port_is_held) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  live(*listener, kLoopback, 9000);
  for (int i = 0; i < 9; ++i) time_wait(*listener, kLoopback, 9000);
  connect_to(kLoopback, 9000)->reset();  // FIN_WAIT2 without a descriptor: a mini-socket
  keep(accept_from(*listener));
  keep(connect_to(kLoopback, 9000));  // FIN_WAIT2 with a descriptor: live
  ::shutdown(open_.back().get(), SHUT_WR);
  keep(accept_from(*listener));
  keep(connect_to(kLoopback, 9000));  // CLOSE_WAIT here
  accept_from(*listener)->reset();
  ConnectOptions outside;
  outside.bound_port = 20'000;
  live(*listener, kLoopback, 9000, outside);
  outside.bound_port = 40'015;  // reserved
  live(*listener, kLoopback, 9000, outside);
  ConnectOptions elsewhere;
  elsewhere.source = kOther;
  live(*listener, kLoopback, 9000, elsewhere);
  const Sample sample = look_and_compare();
  ASSERT_EQ(sample.tuples.size(), 2U);
  const auto& counts = sample.tuples[0].counts;
  EXPECT_EQ(counts.live, 3U);
  EXPECT_EQ(counts.time_wait, 10U);
  EXPECT_EQ(counts.outside_range, 2U);
  const auto fin_wait_2 = std::count_if(sample.tuples[0].ports.begin(), sample.tuples[0].ports.end(),
                                        [](const auto& use) { return use.holder == PortHolder::kFinWait2; });
  EXPECT_EQ(fin_wait_2, 1);
}

TEST_F(CensusByIterator, sees_syn_sent_with_its_retransmits_and_what_waits_for_accept) {
  const auto listener = listen_on(kLoopback, 9000, 1);  // admits two
  ConnectOptions non_blocking;
  non_blocking.is_non_blocking = true;
  for (int i = 0; i < 5; ++i) keep(connect_to(kLoopback, 9000, non_blocking));
  const auto retransmitted = [&] {
    const Sample sample = look(LookMethod::kSockDiag);
    return !sample.tuples.empty() && sample.tuples[0].counts.syn_retransmitted == 3;
  };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!retransmitted() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  const Sample sample = look_and_compare();
  ASSERT_EQ(sample.tuples.size(), 1U);
  EXPECT_EQ(sample.tuples[0].counts.syn_sent, 3U);
  EXPECT_EQ(sample.tuples[0].counts.syn_retransmitted, 3U);
  ASSERT_EQ(sample.listeners.size(), 1U);
  EXPECT_EQ(sample.listeners[0].accept_queue, 2U);
  ASSERT_TRUE(sample.listeners[0].waits);
  EXPECT_EQ(sample.listeners[0].waits->count, 2U);
  EXPECT_GE(sample.listeners[0].waits->oldest_ms, 900U) << "the SYNs of others were repeated after a second";
}

TEST_F(CensusByIterator, counts_half_open_connections_by_listener_also_in_a_short_look) {
  const auto four = listen_on(kLoopback, 9000, 64);
  const auto dual = listen_on(Address(), 9100, 64);
  const auto idle = listen_on(kLoopback, 9001, 64);
  constexpr int kSeconds = 30;
  for (const auto* listener : {&*four, &*dual}) {  // the handshake is not complete before data comes
    ASSERT_EQ(setsockopt(listener->get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &kSeconds, sizeof kSeconds), 0);
  }
  for (int i = 0; i < 3; ++i) keep(connect_to(kLoopback, 9000));
  for (int i = 0; i < 2; ++i) keep(connect_to(kLoopback6, 9100));
  keep(connect_to(kLoopback, 9100));
  const Sample sample = look_and_compare();
  ASSERT_EQ(sample.listeners.size(), 3U);
  EXPECT_EQ(sample.listeners[0].half_open, 3U);
  EXPECT_EQ(sample.listeners[1].half_open, 0U);
  EXPECT_EQ(sample.listeners[2].half_open, 3U);
  const Sample lean = look(LookMethod::kIterator, LookDepth::kAutomatic);
  EXPECT_EQ(lean.listeners[0].half_open, 3U);
  EXPECT_FALSE(lean.absent.contains("listeners.half_open"));
}

TEST_F(CensusByIterator, locks_the_ports_of_listeners_shared_ones_and_bound_idle_sockets) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  const auto shared = listen_on(kLoopback, 40'100, 64, true);
  const auto sharing = listen_on(kLoopback, 40'100, 64, true);
  const auto other_family = listen_on(kLoopback6, 40'100, 64);
  ASSERT_TRUE(shared && sharing && other_family);
  const auto bound = kernel::testing::bind_only(kLoopback, 40'103);
  live(*listener, kLoopback, 9000);
  for (int i = 0; i < 6; ++i) keep(connect_to(kLoopback, 40'100));
  const Sample sample = look_and_compare();
  EXPECT_EQ(sample.plan.locked(), 2U);
  EXPECT_EQ(sample.listeners.at(2).sockets, 2U);
  EXPECT_GT(sample.in_range, 12U) << "sockets on the listener's port are counted, though they are in no tuple";
  const Sample lean = look(LookMethod::kIterator, LookDepth::kAutomatic);
  EXPECT_EQ(lean.plan.locked(), 1U);
  EXPECT_TRUE(lean.absent.contains("range.locked.bound"));
}

TEST_F(CensusByIterator, tells_what_is_reusable) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  set("net/ipv4/tcp_tw_reuse", "1");
  set("net/ipv4/tcp_tw_reuse_delay", "1");
  for (int i = 0; i < 5; ++i) time_wait(*listener, kLoopback, 9000);
  const auto youngest = [&] {
    const Sample sample = look(LookMethod::kSockDiag);
    std::uint32_t remaining_ms = 0;
    for (const auto& use : sample.tuples.at(0).ports) remaining_ms = std::max(remaining_ms, use.remaining_ms);
    return remaining_ms;
  };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (youngest() > 59'990 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(look_and_compare().tuples.at(0).counts.time_wait_reusable, 5U);
}

TEST_F(CensusByIterator, leaves_the_connections_of_listeners_in_the_kernel) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  for (int i = 0; i < 20; ++i) live(*listener, kLoopback, 9000);
  const Sample lean = look_and_compare(LookDepth::kAutomatic);
  EXPECT_EQ(lean.cost.sockets, 21U) << "the clients' ends, and the listener by sock_diag";
}

TEST_F(CensusByIterator, keeps_identities_when_the_method_changes) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  for (int i = 0; i < 10; ++i) live(*listener, kLoopback, 9000);
  const Sample walked = look(LookMethod::kIterator);  // the first to ask for the cookies
  const Sample dumped = look(LookMethod::kSockDiag);
  ASSERT_EQ(walked.tuples.size(), 1U);
  EXPECT_EQ(held_of(walked.tuples[0]), held_of(dumped.tuples[0]));
  const auto flow = telemetry::flow_between(walked.tuples[0], dumped.tuples[0], base::Seconds(1));
  EXPECT_EQ(flow.opened + flow.closed_free + flow.closed_to_time_wait, 0U);
}

TEST_F(CensusByIterator, walks_the_namespace_that_it_was_asked_for) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  live(*listener, kLoopback, 9000);
  auto census_of_first = census(LookMethod::kIterator);
  ASSERT_EQ(census_of_first.look({}).value().tuples.size(), 1U);
  auto second = kernel::testing::PrivateNetwork::create();
  ASSERT_TRUE(second);
  EXPECT_EQ(census_of_first.look({}).value().tuples.size(), 0U) << "'self' is where the thread is";
}

TEST_F(CensusByIterator, shows_each_socket_once_while_others_come_and_go) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  const auto busy = listen_on(kLoopback, 9001, 64);
  for (int i = 0; i < 40; ++i) live(*listener, kLoopback, 9000);
  for (int i = 0; i < 40; ++i) time_wait(*listener, kLoopback, 9000);
  const Sample truth = look_and_compare();
  ASSERT_EQ(truth.tuples.size(), 1U);
  std::atomic<bool> is_over = false;
  std::thread churn([&] {  // in the same namespace: a thread begins where its maker is
    while (!is_over) {
      auto client = connect_to(kLoopback, 9001);
      auto server = accept_from(*busy);
      if (client) kernel::testing::close_by_reset(std::move(*client));
    }
  });
  auto steady = census(LookMethod::kIterator);
  for (int round = 0; round < 300; ++round) {
    const Sample sample = steady.look({}).value();
    EXPECT_EQ(sample.cost.repeated, 0U);
    const auto kept = std::find_if(sample.tuples.begin(), sample.tuples.end(),
                                   [](const auto& tuple) { return tuple.tuple.destination_port == 9000; });
    ASSERT_NE(kept, sample.tuples.end());
    EXPECT_EQ(held_of(*kept), held_of(truth.tuples[0]));
  }
  is_over = true;
  churn.join();
}

TEST_F(CensusByIterator, is_tried_in_large_namespaces_only_and_not_by_a_single_look) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  for (int i = 0; i < 3; ++i) live(*listener, kLoopback, 9000);
  auto large = census(LookMethod::kAutomatic);  // more than 0 sockets
  auto small = kernel::Census(std::move(*kernel::NetworkNamespace::open("self")));
  for (std::uint32_t walk = 0; walk < kernel::WalkChoice::kWalksBeforeFirstTrial; ++walk) {
    const Sample sample = large.look({}).value();
    EXPECT_EQ(sample.source, LookSource::kSockDiag);
    EXPECT_TRUE(sample.cost.walk_cpu.contains(LookSource::kSockDiag));
    EXPECT_FALSE(sample.cost.walk_cpu.contains(LookSource::kIterator));
  }
  const Sample tried = large.look({}).value();
  EXPECT_EQ(tried.source, LookSource::kIterator);
  EXPECT_GT(tried.cost.walk_cpu.at(LookSource::kIterator).count(), 0);
  for (std::uint32_t walk = 0; walk < 2 * kernel::WalkChoice::kWalksBeforeFirstTrial; ++walk) {
    EXPECT_EQ(small.look({}).value().source, LookSource::kSockDiag);
  }
}

TEST(CensusByIteratorOf, sock_diag_alone_says_why_there_is_no_iterator) {
  LookOptions options;
  options.method = LookMethod::kSockDiag;
  const auto source = kernel::iterator_source(options);
  EXPECT_EQ(source.name, "bpf_iter");
  EXPECT_FALSE(source.is_active);
  EXPECT_EQ(source.needs, "look.method other than sock_diag");
}

TEST(CensusByIteratorOf, older_kernels_is_not_relied_on) {
  EXPECT_FALSE(kernel::shows_each_once({6, 16, 9}));
  EXPECT_TRUE(kernel::shows_each_once({6, 17, 0}));
}

}  // namespace
}  // namespace tidewaiter
