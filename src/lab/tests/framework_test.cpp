// SPDX-License-Identifier: Apache-2.0
//
// The parts that touch the kernel. They need root and are skipped with the reason otherwise.
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <set>

#include "kernel/census.h"
#include "lab/child_program.h"
#include "lab/churn_client.h"
#include "lab/clock.h"
#include "lab/echo_server.h"
#include "lab/interruption.h"
#include "lab/leftovers.h"
#include "lab/pooled_client.h"
#include "lab/topology.h"

namespace tidewaiter::lab {
namespace {

using base::Milliseconds;
using base::Seconds;

constexpr base::Nanoseconds kPatience = Seconds(20);

class Framework : public testing::Test {
 protected:
  void SetUp() override {
    const auto network = Network::create();
    if (!network) GTEST_SKIP() << network.error().message();
  }

  static Topology topology(const TopologyOptions& options = {}) {
    auto made = Topology::create(options);
    EXPECT_TRUE(made) << made.error().message();
    return std::move(*made);
  }

  static std::unique_ptr<ChildProgram> shell(const std::string& script, const Network& network) {
    auto child = ChildProgram::start({{"/bin/sh", "-c", script}, {{"COLOUR", "blue"}}}, network);
    EXPECT_TRUE(child) << child.error().message();
    return std::move(*child);
  }

  /// Waits until `condition` holds; false when it does not in time.
  template <class Condition>
  static bool soon(const Condition& condition) {
    const Interruption never;
    const base::Instant deadline = read_clock() + kPatience;
    while (!condition()) {
      if (read_clock() > deadline || !never.wait_until(read_clock() + Milliseconds(5))) return false;
    }
    return true;
  }

  static telemetry::Sample look(const Network& network) {
    auto opened = kernel::NetworkNamespace::open(fmt::format("/proc/self/fd/{}", network.descriptor()));
    EXPECT_TRUE(opened);
    auto sample = kernel::Census(std::move(*opened)).look(read_clocks());
    EXPECT_TRUE(sample) << sample.error().message();
    return *sample;
  }
};

using TopologyOf = Framework;
using Child = Framework;
using TrafficIn = Framework;

TEST_F(TopologyOf, a_small_range_is_set_in_a_network_of_its_own) {
  TopologyOptions options;
  options.lo = 50'000;
  options.hi = 50'099;
  options.settings = {{"net.ipv4.tcp_max_tw_buckets", "77"}};
  const Topology made = topology(options);
  const auto sample = look(made.client());
  EXPECT_EQ(sample.plan.capacity(), 100U);
  EXPECT_EQ(sample.plan.settings().reuse, telemetry::TimeWaitReuse::kNever);
  EXPECT_EQ(sample.settings.at("tcp_max_tw_buckets"), 77);
  EXPECT_NE(look(topology().client()).plan.capacity(), 100U) << "no other network has it";
}

TEST_F(TopologyOf, a_setting_that_does_not_exist_is_named) {
  const auto made = Topology::create({.settings = {{"net.ipv4.no_such_setting", "1"}}});
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message().find("net.ipv4.no_such_setting"), std::string::npos);
}

TEST_F(TopologyOf, two_networks_reach_each_other_over_veth) {
  TopologyOptions options;
  options.link = Link::kVeth;
  const Topology made = topology(options);
  const Endpoint endpoint{made.server_address(), 9'000};
  const auto server = EchoServer::start(made.server(), endpoint);
  ASSERT_TRUE(server) << server.error().message();
  const auto client = PooledClient::start(made.client(), {endpoint, 2, 200});
  ASSERT_TRUE(client);
  EXPECT_TRUE(soon([&] { return (*client)->requests() >= 10; }));
  EXPECT_EQ((*client)->failed_requests(), 0U);
  const auto sample = look(made.client());
  ASSERT_EQ(sample.tuples.size(), 1U);
  EXPECT_EQ(sample.tuples[0].tuple.source, made.client_address());
  EXPECT_EQ(sample.tuples[0].counts.live, 2U);
}

TEST_F(TopologyOf, leaves_no_descriptor_behind) {
  const auto open = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  const auto before = open();
  {
    TopologyOptions options;
    options.link = Link::kVeth;
    const Topology made = topology(options);
    EXPECT_GT(open(), before);
  }
  EXPECT_EQ(open(), before);
}

TEST_F(Child, runs_inside_and_its_streams_come_line_by_line) {
  const Topology made = topology();
  const auto child = shell(
      "readlink /proc/self/ns/net; cat /proc/sys/net/ipv4/ip_local_port_range; echo $COLOUR $TIDEWAITER_LAB; "
      "echo oops >&2; printf 'no end'; exit 3",
      made.client());
  const auto deadline = read_clock() + kPatience;
  std::vector<std::string> lines;
  while (const auto line = child->next_line(deadline)) lines.push_back(line->text);
  ASSERT_EQ(lines.size(), 3U) << "a line without its end is none";
  EXPECT_NE(lines[0], std::filesystem::read_symlink("/proc/self/ns/net").string());
  EXPECT_EQ(lines[1], "40000\t41999");
  EXPECT_EQ(lines[2], "blue " + ProcessIdentity::own().to_string());
  EXPECT_EQ(child->wait_exit(deadline), (ExitStatus{3, 0}));
  EXPECT_EQ(child->error_text(), "oops\n");
}

TEST_F(Child, that_still_runs_has_no_exit_status_until_a_signal_ends_it) {
  const auto interruption = Interruption::of_signals();  // as in the program
  const Topology made = topology();
  const auto child = shell("echo ready; exec sleep 60", made.client());
  ASSERT_TRUE(child->next_line(read_clock() + kPatience));
  EXPECT_EQ(child->next_line(read_clock()), std::nullopt);
  EXPECT_EQ(child->wait_exit(read_clock()), std::nullopt);
  EXPECT_TRUE(child->send_signal(SIGINT)) << "not blocked in the child";
  EXPECT_EQ(child->wait_exit(read_clock() + kPatience), (ExitStatus{0, SIGINT}));
  EXPECT_FALSE(child->send_signal(SIGKILL)) << "it is gone";
}

TEST_F(Child, ends_with_its_object) {
  const Topology made = topology();
  auto child = shell("sleep 60", made.client());
  const auto identity = ProcessIdentity::of(child->pid());
  ASSERT_TRUE(identity);
  child.reset();
  EXPECT_FALSE(identity->is_alive());
}

TEST_F(Child, ends_with_the_thread_that_started_it) {
  const Topology made = topology();
  std::unique_ptr<ChildProgram> child;
  std::thread([&] { child = shell("exec sleep 60", made.client()); }).join();
  EXPECT_EQ(child->wait_exit(read_clock() + kPatience), (ExitStatus{0, SIGKILL}));
}

TEST_F(Child, a_program_that_is_not_there_is_an_error) {
  const Topology made = topology();
  const auto child = ChildProgram::start({{"/no/such/program"}, {}}, made.client());
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, base::ErrorCode::kNotFound);
}

TEST_F(TrafficIn, churn_leaves_time_waits_at_the_client_only) {
  const Topology made = topology();
  const auto server = EchoServer::start(made.server(), {});
  ASSERT_TRUE(server);
  const auto client = ChurnClient::start(made.client(), {.server = {}, .load = constant(1'000)});
  ASSERT_TRUE(client);
  EXPECT_TRUE(soon([&] { return (*client)->log().totals().attempts >= 200; }));
  (*client)->set_load(constant(0));
  EXPECT_TRUE(soon([&] {
    const auto sample = look(made.client());
    return sample.tuples.size() == 1 && sample.tuples[0].counts.live == 0;
  }));
  const auto sample = look(made.client());
  ASSERT_EQ(sample.tuples.size(), 1U) << "no tuple of the server's";
  EXPECT_EQ(sample.tuples[0].counts.time_wait, (*client)->log().totals().attempts);
  std::set<std::uint16_t> ports;
  for (const Attempt& attempt : (*client)->log().attempts()) ports.insert(attempt.local_port);
  EXPECT_EQ(ports.size(), (*client)->log().totals().attempts);
}

TEST_F(TrafficIn, a_range_that_is_used_up_gives_addr_not_available_and_a_cliff_before_it) {
  TopologyOptions options;
  options.hi = 40'099;
  const Topology made = topology(options);
  const auto server = EchoServer::start(made.server(), {});
  ASSERT_TRUE(server);
  const auto client = ChurnClient::start(made.client(), {.server = {}, .load = constant(500)});
  ASSERT_TRUE(client);
  const AttemptLog& log = (*client)->log();
  EXPECT_TRUE(soon([&] { return log.first_failure(EADDRNOTAVAIL).has_value(); }));
  const auto totals = log.totals();
  EXPECT_EQ(totals.attempts - totals.failed, 100U);
  const auto cliff = log.first_of_other_parity(40'000);
  ASSERT_TRUE(cliff);
  EXPECT_LT(*cliff, *log.first_failure(EADDRNOTAVAIL));
}

TEST_F(TrafficIn, resets_leave_nothing_and_held_connections_stay) {
  const Topology made = topology();
  const auto server = EchoServer::start(made.server(), {});
  ASSERT_TRUE(server);
  const auto reset = ChurnClient::start(made.client(), {.server = {}, .load = constant(500), .reset_share = 1});
  ASSERT_TRUE(reset);
  EXPECT_TRUE(soon([&] { return (*reset)->log().totals().attempts >= 50; }));
  (*reset)->set_load(constant(0));
  EXPECT_TRUE(soon([&] { return look(made.client()).tuples.empty(); }));
  const auto held = ChurnClient::start(made.client(), {.server = {}, .load = constant(500), .held_share = 1});
  ASSERT_TRUE(held);
  EXPECT_TRUE(soon([&] {
    const auto sample = look(made.client());
    return sample.tuples.size() == 1 && sample.tuples[0].counts.live >= 50;
  }));
  (*held)->set_load(constant(0));
  EXPECT_TRUE(soon([&] {
    (*held)->release_held();
    const auto sample = look(made.client());
    return sample.tuples.size() == 1 && sample.tuples[0].counts.live == 0;
  }));
}

TEST_F(TrafficIn, a_limit_refuses_what_is_beyond_it) {
  const Topology made = topology();
  const auto server = EchoServer::start(made.server(), {});
  ASSERT_TRUE(server);
  const auto client =
      ChurnClient::start(made.client(), {.server = {}, .load = constant(1'000), .limit = [] { return 0.001; }});
  ASSERT_TRUE(client);
  EXPECT_TRUE(soon([&] { return (*client)->log().totals().refused_by_limit >= 100; }));
  EXPECT_EQ((*client)->log().totals().attempts, 1U);
}

TEST_F(TrafficIn, a_pool_answers_without_new_connections_and_mends_itself) {
  const Topology made = topology();
  auto server = EchoServer::start(made.server(), {});
  ASSERT_TRUE(server);
  const auto client = PooledClient::start(made.client(), {{}, 4, 500});
  ASSERT_TRUE(client);
  EXPECT_TRUE(soon([&] { return (*client)->requests() >= 100; }));
  EXPECT_EQ((*client)->log().totals().attempts, 4U);
  server->reset();
  EXPECT_TRUE(soon([&] { return (*client)->failed_requests() >= 4; }));
  server = EchoServer::start(made.server(), {});
  ASSERT_TRUE(server) << server.error().message();
  const auto answered = (*client)->requests();
  EXPECT_TRUE(soon([&] { return (*client)->requests() >= answered + 100; }));
}

}  // namespace
}  // namespace tidewaiter::lab
