// SPDX-License-Identifier: Apache-2.0
//
// The ways in which connects end: the plan, and that this kernel ends them so. The latter needs root and is skipped
// with the reason otherwise.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <set>

#include "lab/clock.h"
#include "lab/connect_tally.h"
#include "lab/outcome_run.h"
#include "lab/topology.h"

namespace tidewaiter::lab {
namespace {

constexpr OutcomeRange kRange{40'000, 40'063};
constexpr base::Nanoseconds kPatience = base::Seconds(60);

TEST(Tally, is_read_with_failures_by_cause_and_without_what_did_not_happen) {
  const auto document = output::Document::parse(
      R"({"attempts":7,"established":3,"failures":{"timeout":1,"unreachable":2,"aborted":1,"refused":0},"port_probes":4,)"
      R"("pre_syn_unattributed":0,"syn_retransmits":5,"retries":null,"something_new":9})");
  const Tally expected{{"attempts", 7}, {"established", 3}, {"timeout", 1},        {"unreachable", 2},
                       {"aborted", 1},  {"port_probes", 4}, {"syn_retransmits", 5}};
  EXPECT_EQ(read_tally(document, Source::kChosen), expected);
  EXPECT_EQ(read_tally(nullptr, Source::kChosen), Tally());
  EXPECT_EQ(to_string(expected),
            "7 attempts, 3 established, 1 timeout, 2 unreachable, 1 aborted, 4 port_probes, 5 syn_retransmits");
  EXPECT_EQ(to_string(Tally()), "nothing");
}

TEST(Tally, of_no_source_takes_the_known_and_the_unknown_reason_for_one) {
  const auto document =
      output::Document::parse(R"({"attempts":5,"failures":{"unreachable":2},"pre_syn_unattributed":3})");
  EXPECT_EQ(read_tally(document, Source::kUnspecified), (Tally{{"attempts", 5}, {"pre_syn", 5}}));
}

TEST(Tally, differs_by_what_is_too_much_and_too_little) {
  EXPECT_EQ(distance({{"attempts", 5}, {"refused", 5}}, {{"attempts", 5}, {"refused", 4}, {"reset", 1}}), 2U);
  EXPECT_EQ(distance({{"attempts", 5}}, {{"attempts", 5}}), 0U);
  Tally sum{{"attempts", 1}};
  add(sum, {{"attempts", 2}, {"refused", 2}});
  EXPECT_EQ(sum, (Tally{{"attempts", 3}, {"refused", 2}}));
}

TEST(Outcomes, have_each_a_name_and_a_destination_of_their_own_and_sums_that_agree) {
  std::set<std::string> names;
  std::set<std::uint16_t> ports;
  for (const Outcome& outcome : all_outcomes(kRange)) {
    SCOPED_TRACE(outcome.name);
    EXPECT_TRUE(names.insert(outcome.name).second);
    EXPECT_TRUE(ports.insert(outcome.task.to.port).second);
    EXPECT_FALSE(outcome.task.to.port >= kRange.lo && outcome.task.to.port <= kRange.hi) << "a listener would lock it";
    std::uint64_t ended = 0;
    for (const auto& [name, count] : outcome.agent) {
      if (name != "attempts" && name != "port_probes" && name != "retries") ended += count;
    }
    const auto attempts = outcome.agent.find("attempts");
    EXPECT_EQ(ended, attempts == outcome.agent.end() ? 0 : attempts->second) << "every attempt ends in one way";
  }
}

TEST(Outcomes, end_for_the_client_as_planned) {
  TopologyOptions options;
  options.lo = kRange.lo;
  options.hi = kRange.hi;
  const auto topology = Topology::create(options);
  if (!topology) GTEST_SKIP() << topology.error().message();
  auto run = OutcomeRun::prepare(topology->client(), all_outcomes(kRange));
  if (!run) GTEST_SKIP() << run.error().message();
  const auto results = run->play(read_clock() + kPatience);
  ASSERT_TRUE(results) << results.error().message();
  for (const OutcomeResult& result : *results) {
    SCOPED_TRACE(result.outcome->name);
    if (result.skip) {
      fmt::print("not made here: {}: {}\n", result.outcome->name, *result.skip);
      continue;
    }
    EXPECT_EQ(result.exit, result.outcome->exit);
    EXPECT_EQ(result.seen, result.outcome->client) << to_string(result.seen);
  }
}

}  // namespace
}  // namespace tidewaiter::lab
