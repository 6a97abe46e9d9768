// SPDX-License-Identifier: Apache-2.0
//
// The lab against the program itself: a child census inside a topology sees the lab's traffic as the client does.
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "lab/child_program.h"
#include "lab/churn_client.h"
#include "lab/clock.h"
#include "lab/echo_server.h"
#include "lab/topology.h"

namespace tidewaiter {
namespace {

using base::Seconds;

/// The program beside the tests: build/<preset>/tidewaiter for build/<preset>/bin/integration_test.
std::filesystem::path program() {
  return std::filesystem::path(lab::own_program().value_or("")).parent_path().parent_path() / "tidewaiter";
}

TEST(Lab, a_census_inside_counts_what_the_client_did) {
  if (!std::filesystem::exists(program())) GTEST_SKIP() << program() << " is not built";
  const auto topology = lab::Topology::create();
  if (!topology) GTEST_SKIP() << topology.error().message();
  const auto server = lab::EchoServer::start(topology->server(), {});
  ASSERT_TRUE(server);
  const auto client = lab::ChurnClient::start(topology->client(), {.server = {}, .load = lab::constant(200)});
  ASSERT_TRUE(client);
  const auto census =
      lab::ChildProgram::start({{program().string(), "census", "--json", "--watch", "200ms"}, {}}, topology->client());
  ASSERT_TRUE(census) << census.error().message();
  const base::Instant deadline = lab::read_clock() + Seconds(30);
  int looks_with_demand = 0;
  while (looks_with_demand < 5) {
    const std::uint64_t before = (*client)->log().totals().attempts;
    const auto line = (*census)->next_line(deadline);
    ASSERT_TRUE(line) << (*census)->error_text();
    const auto document = nlohmann::json::parse(line->text);
    EXPECT_EQ(document["range"]["capacity"], 2'000);
    if (document["tuples"].empty() || document["tuples"][0]["demand_per_s"].is_null()) continue;
    ++looks_with_demand;
    const auto& tuple = document["tuples"][0];
    const auto used = tuple["live"].get<std::uint64_t>() + tuple["time_wait"].get<std::uint64_t>();
    EXPECT_LE(used, (*client)->log().totals().attempts + 1) << "at most one more: a connect that is not logged yet";
    EXPECT_GE(used + 100, before) << "the line may be older than the count by a look";
  }
  EXPECT_TRUE((*census)->send_signal(SIGINT));
  EXPECT_EQ((*census)->wait_exit(deadline), lab::ExitStatus{});
}

}  // namespace
}  // namespace tidewaiter
