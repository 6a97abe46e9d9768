// SPDX-License-Identifier: Apache-2.0
//
// The census that socket events keep up to date against a dump of the same sockets: equal, without another dump.
#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <map>
#include <sched.h>
#include <sys/socket.h>
#include <thread>
#include <tuple>
#include <vector>

#include "kernel/census.h"
#include "kernel/testing/private_network.h"

namespace tidewaiter {
namespace {

using base::FileDescriptor;
using kernel::testing::accept_from;
using kernel::testing::connect_to;
using kernel::testing::ConnectOptions;
using kernel::testing::listen_on;
using telemetry::Address;
using telemetry::Tuple;

const Address kLoopback = Address::v4(0x7f000001);

Address address(const char* text) { return *telemetry::parse_address(text); }

base::Moment clocks() {
  return {base::Instant(std::chrono::steady_clock::now()), base::WallTime(std::chrono::system_clock::now())};
}

/// What a look says of a tuple.
using Counts = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;

struct Table {
  std::map<Tuple, Counts> tuples;
  std::uint32_t in_range = 0;
  std::uint32_t in_range_time_wait = 0;
  friend bool operator==(const Table&, const Table&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Table& table) {
    for (const auto& [tuple, counts] : table.tuples) {
      const auto [live, live_preferred, waiting, waiting_preferred, outside, syn_sent] = counts;
      out << "\n  " << tuple.destination.to_string() << ":" << tuple.destination_port << " live " << live << " ("
          << live_preferred << ") time_wait " << waiting << " (" << waiting_preferred << ") outside " << outside
          << " syn_sent " << syn_sent;
    }
    return out << "\n  in range " << table.in_range << ", of these TIME_WAIT " << table.in_range_time_wait;
  }
};

Table table_of(const telemetry::Sample& sample) {
  Table table{{}, sample.in_range, sample.in_range_time_wait};
  for (const telemetry::TupleSample& tuple : sample.tuples) {
    const telemetry::TupleCounts& counts = tuple.counts;
    table.tuples[tuple.tuple] = {counts.live,          counts.live_preferred,
                                 counts.time_wait,     counts.time_wait_preferred,
                                 counts.outside_range, counts.syn_sent};
  }
  return table;
}

/// A namespace of its own, and two censuses of it: one by events, and one that dumps at every look.
class CensusByEvents : public ::testing::Test {
 protected:
  void SetUp() override {
    auto network = kernel::testing::PrivateNetwork::create();
    if (!network) GTEST_SKIP() << network.error().message();
    network_.emplace(std::move(*network));
    ASSERT_TRUE(network_->set("net/ipv4/ip_local_port_range", "40000 59999"));
    ASSERT_TRUE(network_->set("net/ipv4/tcp_tw_reuse", "0"));
    auto changes = kernel::SocketChanges::load();
    if (!changes) GTEST_SKIP() << changes.error().message();
    kernel::LookOptions options;
    options.full_up_to_sockets = 0;
    by_dumps_.emplace(std::move(*kernel::NetworkNamespace::open("self")), options);
    by_events_.emplace(std::move(*kernel::NetworkNamespace::open("self")), options, std::move(*changes));
  }

  Table look(kernel::Census& census, base::Nanoseconds later = base::Nanoseconds(0)) {
    base::Moment now = clocks();
    now.steady += later;
    const auto sample = census.look(now);
    EXPECT_TRUE(sample) << sample.error().message();
    if (!sample) return {};
    if (sample->ledger) totals_ = *sample->ledger;
    return table_of(*sample);
  }
  Table events(base::Nanoseconds later = base::Nanoseconds(0)) { return look(*by_events_, later); }

  /// Both at once, as soon as nothing moves any more.
  void compare(const char* what) {
    Table dump = look(*by_dumps_);
    Table ledger = events();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (ledger != dump && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
      dump = look(*by_dumps_);
      ledger = events();
    }
    EXPECT_EQ(ledger, dump) << what;
  }

  void live(const FileDescriptor& listener, Address to, std::uint16_t port, const ConnectOptions& options = {}) {
    auto client = connect_to(to, port, options);
    ASSERT_TRUE(client) << client.error().message();
    open_.push_back(std::move(*client));
    open_.push_back(std::move(*accept_from(listener)));
  }

  /// At the last look by events.
  [[nodiscard]] const telemetry::LedgerTotals& totals() const { return totals_; }

  std::optional<kernel::testing::PrivateNetwork> network_;
  std::optional<kernel::Census> by_dumps_;
  std::optional<kernel::Census> by_events_;
  std::vector<FileDescriptor> open_;
  telemetry::LedgerTotals totals_;
};

TEST_F(CensusByEvents, is_equal_after_everything_that_can_become_of_a_connection) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  const auto dual = listen_on(Address(), 9100, 64);
  const auto in_range = listen_on(kLoopback, 45'000, 64);
  live(*listener, kLoopback, 9000);  // before the first look
  compare("begun");
  for (int i = 0; i < 5; ++i) live(*listener, kLoopback, 9000);
  for (int i = 0; i < 3; ++i) live(*dual, address("::1"), 9100);
  ConnectOptions mapped;
  mapped.use_ipv6_socket = true;
  live(*dual, kLoopback, 9100, mapped);
  live(*in_range, kLoopback, 45'000);
  ConnectOptions outside;
  outside.bound_port = 20'000;
  live(*listener, kLoopback, 9000, outside);
  compare("live");
  for (int i = 0; i < 7; ++i) {  // the client closes first
    auto client = connect_to(kLoopback, 9000);
    auto server = accept_from(*listener);
    client->reset();
    server->reset();
  }
  for (int i = 0; i < 2; ++i) {  // the server does
    auto client = connect_to(kLoopback, 9000);
    auto server = accept_from(*listener);
    server->reset();
    client->reset();
  }
  kernel::testing::close_by_reset(std::move(*connect_to(kLoopback, 9000)));
  open_.push_back(std::move(*accept_from(*listener)));
  compare("closed");
  auto half_closed = connect_to(kLoopback, 9000);  // FIN_WAIT2 without a descriptor
  open_.push_back(std::move(*accept_from(*listener)));
  half_closed->reset();
  compare("half closed");
  EXPECT_FALSE(connect_to(kLoopback, 9999));
  EXPECT_EQ(connect_to(kLoopback, 9999).error().system_errno, ECONNREFUSED);
  compare("refused");
  open_.clear();
  compare("all closed");
  EXPECT_EQ(totals().dumps, 1U);
  EXPECT_GT(totals().changes, 40U);
}

TEST_F(CensusByEvents, knows_a_connection_without_an_answer_after_its_first_second) {
  const auto full = listen_on(kLoopback, 9000, 0);
  compare("begun");
  ConnectOptions non_blocking;
  non_blocking.is_non_blocking = true;
  for (int i = 0; i < 4; ++i) open_.push_back(std::move(*connect_to(kLoopback, 9000, non_blocking)));
  compare("SYN sent again");
  EXPECT_GE(std::get<5>(events().tuples.begin()->second), 2U);
  open_.clear();
  compare("given up");
  EXPECT_EQ(totals().dumps, 1U);
}

TEST_F(CensusByEvents, follows_churn_on_every_processor) {
  const auto listener = listen_on(kLoopback, 9000, 512);
  compare("begun");
  constexpr unsigned kThreads = 4;
  constexpr unsigned kConnections = 1'500;
  std::atomic<unsigned> running = kThreads;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([thread, &running] {
      const Address to = Address::v4(0x7f000010U + thread);
      const auto own = listen_on(to, 9000, 64);
      for (unsigned i = 0; i < kConnections; ++i) {
        auto client = connect_to(to, 9000);
        auto server = accept_from(*own);
        EXPECT_TRUE(client && server);
        if (!client || !server) break;
        if (i % 3 == 0) std::swap(client, server);  // who closes first
        client->reset();
        server->reset();
      }
      --running;
    });
  }
  while (running > 0) by_events_->drain();
  for (std::thread& thread : threads) thread.join();
  // The threads' listeners have come and gone within one look, on a port that listens all the time.
  static_cast<void>(events());
  const auto before = totals().dumps;
  static_cast<void>(events(base::Seconds(31)));
  EXPECT_EQ(totals().dumps, before + 1);
  compare("put right");
  // The kernel leaves out a program that an event of its own interrupts, and counts most of these.
  EXPECT_LE(totals().missing + totals().phantoms, kThreads * kConnections / 100U);
  EXPECT_LE(totals().lost, kThreads * kConnections / 50U);
}

TEST_F(CensusByEvents, dumps_again_when_the_ring_has_overrun) {
  const auto listener = listen_on(kLoopback, 9000, 512);
  compare("begun");
  ASSERT_EQ(totals().dumps, 1U);
  constexpr int kMoreThanTheRingHolds = 3'000;  // two changes each, 72 bytes a change, 256 KB
  for (int i = 0; i < kMoreThanTheRingHolds; ++i) {
    auto client = connect_to(kLoopback, 9000);
    auto server = accept_from(*listener);
    ASSERT_TRUE(client && server);
    server->reset();
    client->reset();
  }
  compare("overrun");
  EXPECT_GT(totals().lost, 0U);
  EXPECT_GE(totals().dumps, 2U);
}

TEST_F(CensusByEvents, counts_what_went_without_an_event) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  compare("begun");
  for (int i = 0; i < 3; ++i) {
    auto client = connect_to(kLoopback, 9000);
    auto server = accept_from(*listener);
    client->reset();
    server->reset();
  }
  compare("closed");
  if (std::system("ss -K -tn state time-wait '( dport = :9000 )' >/dev/null 2>&1") != 0) GTEST_SKIP() << "no ss -K";
  if (!look(*by_dumps_).tuples.empty()) GTEST_SKIP() << "this kernel does not kill sockets for ss -K";
  EXPECT_EQ(std::get<2>(events().tuples.begin()->second), 3U) << "nothing tells that they have gone";
  EXPECT_TRUE(events(base::Seconds(31)).tuples.empty());
  EXPECT_EQ(totals().phantoms, 3U);
}

TEST_F(CensusByEvents, begins_anew_when_the_rules_change) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  live(*listener, kLoopback, 9000);
  compare("begun");
  const auto another = listen_on(kLoopback, 9001, 64);
  live(*another, kLoopback, 9001);
  compare("another listener");
  ASSERT_TRUE(network_->set("net/ipv4/ip_local_port_range", "30000 59999"));
  compare("another range");
  EXPECT_EQ(totals().dumps, 3U);
  EXPECT_EQ(totals().missing + totals().phantoms, 0U) << "a new beginning is no drift";
}

TEST_F(CensusByEvents, dumps_at_every_look_while_a_tuple_is_under_pressure) {
  ASSERT_TRUE(network_->set("net/ipv4/ip_local_port_range", "40000 40009"));
  const auto listener = listen_on(kLoopback, 9000, 64);
  for (int i = 0; i < 5; ++i) live(*listener, kLoopback, 9000);
  compare("half of the ports");
  const auto before = totals().dumps;
  live(*listener, kLoopback, 9000);
  static_cast<void>(events());
  static_cast<void>(events());
  EXPECT_EQ(totals().dumps, before + 2);
}

TEST_F(CensusByEvents, stops_when_the_namespace_is_small_again) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  kernel::LookOptions options;
  options.full_up_to_sockets = 10;
  kernel::Census census(std::move(*kernel::NetworkNamespace::open("self")), options,
                        std::move(*kernel::SocketChanges::load()));
  for (int i = 0; i < 5; ++i) live(*listener, kLoopback, 9000);  // ten sockets and the listener
  EXPECT_TRUE(census.look(clocks())->ledger);
  kernel::testing::close_by_reset(std::move(open_[0]));
  open_.erase(open_.begin(), open_.begin() + 2);
  EXPECT_TRUE(census.look(clocks())->ledger) << "not at once: beginning costs a dump";
  open_.resize(2);  // of the others one end stays, for a minute
  EXPECT_FALSE(census.look(clocks())->ledger);
}

}  // namespace
}  // namespace tidewaiter
