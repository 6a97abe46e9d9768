// SPDX-License-Identifier: Apache-2.0
//
// The census against what `ss` shows of the same sockets: equal, per tuple and parity, exactly.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <sstream>
#include <sys/socket.h>

#include "kernel/census.h"
#include "kernel/host.h"
#include "kernel/testing/private_network.h"
#include "telemetry/pressure.h"

namespace tidewaiter {
namespace {

using base::FileDescriptor;
using kernel::testing::accept_from;
using kernel::testing::close_by_reset;
using kernel::testing::connect_to;
using kernel::testing::ConnectOptions;
using kernel::testing::listen_on;
using kernel::testing::local_port_of;
using telemetry::Address;
using telemetry::PortSet;
using telemetry::Tuple;

const Address kLoopback = Address::v4(0x7f000001);
const Address kOther = Address::v4(0x7f000102);

Address address(const char* text) { return *telemetry::parse_address(text); }

/// One line of `ss -tanoH`, as far as the comparison needs it.
struct Line {
  std::string state;
  Address local, remote;
  std::uint16_t local_port = 0, remote_port = 0;
  bool has_time_wait_timer = false;
};

std::pair<Address, std::uint16_t> endpoint_of(std::string text) {
  const auto colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  if (const auto zone = host.find('%'); zone != std::string::npos) host.resize(zone);
  std::uint16_t port = 0;
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
  return {telemetry::parse_address(host == "*" ? "::" : host).value(), port};
}

std::vector<Line> lines_of_ss() {
  std::vector<Line> lines;
  FILE* const pipe = popen("ss -tanoH", "re");
  std::array<char, 512> buffer{};
  while (fgets(buffer.data(), buffer.size(), pipe) != nullptr) {
    std::istringstream words(buffer.data());
    Line line;
    std::string receive, send, local, remote, timer;
    words >> line.state >> receive >> send >> local >> remote >> timer;
    std::tie(line.local, line.local_port) = endpoint_of(local);
    std::tie(line.remote, line.remote_port) = endpoint_of(remote);
    line.has_time_wait_timer = timer.find("timewait") != std::string::npos;
    lines.push_back(line);
  }
  pclose(pipe);
  return lines;
}

struct Counts {
  std::uint32_t live = 0, live_preferred = 0, time_wait = 0, time_wait_preferred = 0, outside = 0;
  friend bool operator==(const Counts&, const Counts&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Counts& counts) {
    return out << "live " << counts.live << " (" << counts.live_preferred << ") time_wait " << counts.time_wait << " ("
               << counts.time_wait_preferred << ") outside " << counts.outside;
  }
};
using Table = std::map<Tuple, Counts>;

/// What the lines of ss come to: the definitions of docs/design/ports.md, written a second time.
Table table_of_ss(const std::vector<Line>& lines, std::uint16_t lo, std::uint16_t hi, const PortSet& reserved) {
  PortSet listening;
  for (const Line& line : lines) {
    if (line.state == "LISTEN") listening.set(line.local_port);
  }
  Table table;
  for (const Line& line : lines) {
    if (line.state == "LISTEN" || listening.test(line.local_port)) continue;
    Counts& counts = table[{line.local, line.remote, line.remote_port}];
    const std::uint32_t preferred = line.local_port % 2 == lo % 2 ? 1 : 0;
    if (line.local_port < lo || line.local_port > hi || reserved.test(line.local_port)) {
      ++counts.outside;
    } else if (line.has_time_wait_timer) {
      ++counts.time_wait;
      counts.time_wait_preferred += preferred;
    } else {
      ++counts.live;
      counts.live_preferred += preferred;
    }
  }
  return table;
}

Table table_of(const telemetry::Sample& sample) {
  Table table;
  for (const auto& tuple : sample.tuples) {
    const auto& counts = tuple.counts;
    table[tuple.tuple] = {counts.live, counts.live_preferred, counts.time_wait, counts.time_wait_preferred,
                          counts.outside_range};
  }
  return table;
}

/// A namespace of its own with a range of 200 ports, ten of them reserved.
class CensusAgainstSs : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("ss -V >/dev/null 2>&1") != 0) GTEST_SKIP() << "ss (iproute2) is not installed";
    auto network = kernel::testing::PrivateNetwork::create();
    if (!network) GTEST_SKIP() << network.error().message();
    network_.emplace(std::move(*network));
    set("net/ipv4/ip_local_port_range", "40000 40199");
    set("net/ipv4/ip_local_reserved_ports", "40010-40019");
    set("net/ipv4/tcp_tw_reuse", "0");
    for (std::uint32_t port = 40'010; port < 40'020; ++port) reserved_.set(port);
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

  /// A connection with both ends kept, or its client closed first, or so that the client stays in FIN_WAIT2.
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
  void fin_wait_2_without_descriptor(const FileDescriptor& listener, Address to, std::uint16_t port) {
    auto client = connect_to(to, port);
    keep(accept_from(listener));
    client->reset();
  }

  telemetry::Sample look(kernel::LookOptions options = {}) {
    kernel::Census census(std::move(*kernel::NetworkNamespace::open("self")), options);
    auto sample = census.look({});
    EXPECT_TRUE(sample) << sample.error().message();
    return std::move(*sample);
  }

  /// Looks until nothing is on its way any more (a FIN may wait for a delayed ACK), then compares with `ss`.
  telemetry::Sample look_and_compare(kernel::LookOptions options = {}) {
    for (int tries = 0; tries < 1'000; ++tries) {
      const auto lines = lines_of_ss();
      const auto sample = look(options);
      const bool is_settled = std::none_of(lines.begin(), lines.end(), [](const Line& line) {
        return line.state == "FIN-WAIT-1" || line.state == "LAST-ACK" || line.state == "CLOSING";
      });
      if (!is_settled) continue;
      const Table ours = table_of(sample);
      const Table theirs = table_of_ss(lines, 40'000, 40'199, reserved_);
      EXPECT_EQ(ours.size(), theirs.size());
      for (const auto& [tuple, counts] : theirs) {
        const auto found = ours.find(tuple);
        EXPECT_NE(found, ours.end()) << tuple.destination.to_string() << ":" << tuple.destination_port;
        if (found == ours.end()) continue;
        EXPECT_EQ(found->second, counts) << tuple.destination.to_string() << ":" << tuple.destination_port;
      }
      return sample;
    }
    ADD_FAILURE() << "the sockets did not settle";
    return {};
  }

  std::optional<kernel::testing::PrivateNetwork> network_;
  PortSet reserved_;
  std::vector<FileDescriptor> open_;
};

TEST_F(CensusAgainstSs, agrees_on_ipv4_ipv6_and_v4_mapped_sockets) {
  const auto four = listen_on(kLoopback, 9000, 64);
  const auto dual = listen_on(Address(), 9100, 64);
  for (int i = 0; i < 7; ++i) live(*four, kLoopback, 9000);
  for (int i = 0; i < 5; ++i) live(*dual, address("::1"), 9100);
  ConnectOptions mapped;
  mapped.use_ipv6_socket = true;
  for (int i = 0; i < 3; ++i) live(*dual, kLoopback, 9100, mapped);
  for (int i = 0; i < 2; ++i) live(*dual, kLoopback, 9100);
  const auto sample = look_and_compare();
  EXPECT_EQ(table_of(sample).at({kLoopback, kLoopback, 9100}).live, 5U) << "one tuple, whatever the socket's family";
}

TEST_F(CensusAgainstSs, agrees_on_every_way_a_port_is_held) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  live(*listener, kLoopback, 9000);
  for (int i = 0; i < 9; ++i) time_wait(*listener, kLoopback, 9000);
  fin_wait_2_without_descriptor(*listener, kLoopback, 9000);
  keep(connect_to(kLoopback, 9000));  // FIN_WAIT2 with a descriptor: live
  ::shutdown(open_.back().get(), SHUT_WR);
  keep(accept_from(*listener));
  ConnectOptions odd;
  odd.pinned_port = 40'077;
  live(*listener, kLoopback, 9000, odd);
  odd.pinned_port = 40'079;
  time_wait(*listener, kLoopback, 9000, odd);
  ConnectOptions outside;
  outside.bound_port = 20'000;
  live(*listener, kLoopback, 9000, outside);
  ConnectOptions elsewhere;
  elsewhere.source = kOther;
  live(*listener, kLoopback, 9000, elsewhere);
  const auto sample = look_and_compare();
  EXPECT_EQ(table_of(sample).at({kLoopback, kLoopback, 9000}), (Counts{3, 2, 11, 10, 1}));
}

TEST_F(CensusAgainstSs, agrees_while_a_connection_is_being_made) {
  const auto listener = listen_on(kLoopback, 9000, 0);  // admits one
  ConnectOptions non_blocking;
  non_blocking.is_non_blocking = true;
  for (int i = 0; i < 4; ++i) keep(connect_to(kLoopback, 9000, non_blocking));
  const auto sample = look_and_compare();
  ASSERT_EQ(sample.tuples.size(), 1U);
  EXPECT_GE(sample.tuples[0].counts.syn_sent, 2U);
}

TEST_F(CensusAgainstSs, locks_the_ports_of_listeners_and_bound_idle_sockets_inside_the_range) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  const auto in_range = listen_on(kLoopback, 40'100, 64);
  const auto same_port_other_family = listen_on(address("::1"), 40'100, 64);
  const auto reserved = listen_on(kLoopback, 40'015, 64);
  ASSERT_TRUE(same_port_other_family && reserved);
  keep(connect_to(kLoopback, 40'100));
  keep(accept_from(*in_range));
  live(*listener, kLoopback, 9000);
  const auto sample = look_and_compare();
  EXPECT_EQ(sample.plan.locked(), 1U);
  EXPECT_EQ(sample.plan.reserved(), 10U);
  EXPECT_EQ(sample.plan.capacity(), 189U);
  const auto bound = kernel::testing::bind_only(kLoopback, 40'103);
  const std::uint32_t locked = look().plan.locked();
  const auto version = kernel::running_kernel();
  if (*version >= kernel::KernelVersion{6, 8, 0}) {
    EXPECT_EQ(locked, 2U);
  } else {
    EXPECT_EQ(locked, 1U);
  }
}

TEST_F(CensusAgainstSs, agrees_with_connect_on_what_is_free) {
  // The truth behind `free`: exactly so many connects succeed before EADDRNOTAVAIL.
  const auto listener = listen_on(kLoopback, 9000, 512);
  const auto in_range = listen_on(kLoopback, 40'100, 4);
  for (int i = 0; i < 20; ++i) live(*listener, kLoopback, 9000);
  for (int i = 0; i < 20; ++i) time_wait(*listener, kLoopback, 9000);
  fin_wait_2_without_descriptor(*listener, kLoopback, 9000);
  const auto sample = look_and_compare();
  ASSERT_EQ(sample.tuples.size(), 1U);
  const std::uint32_t free = telemetry::pressure_of(sample.tuples[0], sample.plan).free;
  std::uint32_t given = 0;
  while (true) {
    auto socket = connect_to(kLoopback, 9000);
    if (!socket) {
      EXPECT_EQ(socket.error().system_errno, EADDRNOTAVAIL);
      break;
    }
    open_.push_back(std::move(*socket));
    ASSERT_LT(++given, 500U);
  }
  EXPECT_EQ(given, free);
  EXPECT_EQ(telemetry::pressure_of(look().tuples[0], sample.plan).free, 0U);
}

TEST_F(CensusAgainstSs, agrees_with_connect_on_what_is_preferred) {
  const auto listener = listen_on(kLoopback, 9000, 512);
  const std::uint32_t preferred = look().plan.preferred_capacity();
  for (std::uint32_t i = 0; i < preferred; ++i) {
    keep(connect_to(kLoopback, 9000));
    EXPECT_EQ(local_port_of(open_.back()) % 2, 0) << i;
  }
  keep(connect_to(kLoopback, 9000));
  EXPECT_EQ(local_port_of(open_.back()) % 2, 1) << "past the cliff";
  EXPECT_EQ(telemetry::pressure_of(look().tuples[0], look().plan).free_preferred, 0U);
}

TEST_F(CensusAgainstSs, counts_time_waits_as_free_where_reuse_allows_it) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  set("net/ipv4/ip_local_port_range", "40000 40003");
  set("net/ipv4/tcp_tw_reuse_delay", "1");  // the shortest
  for (int i = 0; i < 4; ++i) time_wait(*listener, kLoopback, 9000);
  const auto reusable = [&](const char* mode) {
    set("net/ipv4/tcp_tw_reuse", mode);
    // The age has to pass the delay, which is counted in milliseconds.
    telemetry::Sample sample = look();
    for (int tries = 0; tries < 100 && sample.tuples[0].ports[0].remaining_ms > 59'990; ++tries) sample = look();
    return sample.tuples[0].counts.time_wait_reusable;
  };
  EXPECT_EQ(reusable("0"), 0U);
  EXPECT_EQ(connect_to(kLoopback, 9000).error().system_errno, EADDRNOTAVAIL);
  EXPECT_EQ(reusable("2"), 4U);
  EXPECT_EQ(reusable("1"), 4U);
  for (int i = 0; i < 4; ++i) keep(connect_to(kLoopback, 9000));
  EXPECT_EQ(telemetry::pressure_of(look().tuples[0], look().plan).free, 0U);
}

TEST_F(CensusAgainstSs, sees_the_same_when_it_leaves_out_what_it_does_not_need) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  const auto in_range = listen_on(kLoopback, 40'100, 64);
  for (int i = 0; i < 6; ++i) live(*listener, kLoopback, 9000);
  for (int i = 0; i < 4; ++i) time_wait(*listener, kLoopback, 9000);
  keep(connect_to(kLoopback, 40'100));
  const auto full = look_and_compare();
  const auto lean = look_and_compare({kernel::LookDepth::kAutomatic, 0, kernel::LookMethod::kSockDiag});
  EXPECT_EQ(table_of(lean), table_of(full));
  EXPECT_EQ(lean.plan.capacity(), full.plan.capacity());
  EXPECT_EQ(lean.in_range, full.in_range);
  EXPECT_LT(lean.cost.sockets, full.cost.sockets);
  EXPECT_TRUE(lean.absent.contains("range.locked.bound"));
  const auto forced = look({kernel::LookDepth::kFull, 0, kernel::LookMethod::kSockDiag});
  EXPECT_TRUE(forced.absent.empty());
}

TEST_F(CensusAgainstSs, tells_how_long_connections_wait_for_accept) {
  const auto listener = listen_on(kLoopback, 9000, 4);  // admits five
  const auto idle = listen_on(kLoopback, 9001, 1);
  ConnectOptions non_blocking;
  non_blocking.is_non_blocking = true;
  const auto knock = [&] { keep(connect_to(kLoopback, 9000, non_blocking)); };
  for (int i = 0; i < 4; ++i) knock();
  telemetry::Sample sample = look();
  const auto waits = [&] { return sample.listeners.at(0).waits.value_or(telemetry::WaitDistribution{}); };
  for (int tries = 0; tries < 20'000 && waits().oldest_ms < 30; ++tries) sample = look();
  for (int i = 0; i < 3; ++i) knock();  // one fits, two are refused
  sample = look();
  ASSERT_EQ(sample.listeners.size(), 2U);
  EXPECT_EQ(sample.listeners[0].accept_queue, 5U);
  EXPECT_EQ(sample.listeners[0].accept_limit, 4U) << "limit n admits n + 1";
  EXPECT_EQ(waits().count, 5U) << "exactly those of the queue";
  EXPECT_GE(waits().p50_ms, 30U) << "four of five came early";
  EXPECT_LE(waits().p50_ms, waits().oldest_ms);
  EXPECT_EQ(waits().p95_ms, waits().oldest_ms) << "the nearest rank of five";
  EXPECT_FALSE(sample.listeners[1].waits);
  EXPECT_EQ(sample.listeners[1].half_open, 0U);

  for (int i = 0; i < 4; ++i) keep(accept_from(*listener));
  sample = look();
  EXPECT_EQ(sample.listeners[0].accept_queue, 1U);
  EXPECT_EQ(waits().count, 1U);
  EXPECT_EQ(waits().p50_ms, waits().oldest_ms);
}

TEST_F(CensusAgainstSs, looks_into_a_range_of_one_port_and_of_none) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  set("net/ipv4/ip_local_port_range", "40050 40050");
  live(*listener, kLoopback, 9000);
  const auto one = look();
  EXPECT_EQ(one.plan.capacity(), 1U);
  EXPECT_EQ(telemetry::pressure_of(one.tuples[0], one.plan).ppr, 1.0);
  set("net/ipv4/ip_local_reserved_ports", "40050");
  const auto none = look();
  EXPECT_EQ(none.plan.capacity(), 0U);
  EXPECT_FALSE(telemetry::pressure_of(none.tuples[0], none.plan).ppr);
}

TEST_F(CensusAgainstSs, repeats_its_look_on_the_same_socket) {
  const auto listener = listen_on(kLoopback, 9000, 64);
  kernel::Census census(std::move(*kernel::NetworkNamespace::open("self")));
  for (int round = 1; round <= 5; ++round) {
    live(*listener, kLoopback, 9000);
    const auto sample = census.look({});
    ASSERT_TRUE(sample);
    EXPECT_EQ(sample->tuples.at(0).counts.live, static_cast<std::uint32_t>(round));
  }
}

}  // namespace
}  // namespace tidewaiter
