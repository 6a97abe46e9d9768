// SPDX-License-Identifier: Apache-2.0
#include "output/agent_documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <set>

namespace tidewaiter::output {
namespace {

using control::State;
using telemetry::Address;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

telemetry::Tuple tuple_to(std::uint16_t port) { return {Address::v4(0x7f000001), Address::v4(0x0a000007), port}; }

base::Moment moment(std::int64_t second) {
  return {base::Instant(base::Seconds(1'000 + second)), base::WallTime(base::Seconds(1'795'234'390 + second))};
}

/// A view of an agent with everything that it points to.
struct Agent {
  AgentIdentity identity{"desk", "0.1.0", "self", moment(-60), base::Seconds(1)};
  control::Policy policy;
  std::vector<Source> sources{{"sock_diag", 0, true, ""}, {"bpf_state", 1, false, "CAP_PERFMON"}};
  telemetry::Sample sample;
  CensusView census;
  std::optional<telemetry::Connects> connects;
  telemetry::HostSignals host;
  control::Round round;
  ObserverFigures observer;

  Agent() {
    telemetry::PortSettings settings;
    settings.lo = 40'000;
    settings.hi = 40'999;
    sample.plan = telemetry::PortPlan(settings, {});
    sample.at = moment(0);
    observer.pass = base::Microseconds(2'100);
    observer.interval = base::Seconds(1);
    observer.windows = 7;
    round.host.since = moment(-30).steady;
  }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  void add(std::uint16_t port, std::uint32_t live) {
    telemetry::TupleSample tuple{tuple_to(port), {}, {}};
    tuple.counts.live = live;
    tuple.counts.live_preferred = live / 2;
    sample.tuples.push_back(tuple);
  }

  control::TupleDecision& decide(std::uint16_t port, State state) {
    control::TupleDecision tuple;
    tuple.tuple = tuple_to(port);
    tuple.decision.standing.state = tuple.decision.order_state = state;
    tuple.decision.since = moment(-10).steady;
    tuple.decision.stress = model::Stress{0.5, 3};
    tuple.decision.detected = control::parameters_of(policy, state, 10);
    tuple.decision.enforced = control::enforced_of(policy, policy.modes, tuple.decision.detected);
    if (state != State::kGreen) {
      tuple.decision.reasons.add({"ppr_preferred", control::Comparison::kAtLeast, 0.72, 0.7});
    }
    round.tuples.push_back(tuple);
    return round.tuples.back();
  }

  /// The connects of a tuple; from the first call on they have a source.
  telemetry::TupleConnects& connects_of(std::uint16_t port) {
    if (!connects) connects.emplace();
    for (const auto& tuple : sample.tuples) {
      if (tuple.tuple.destination_port == port) return connects->tuples[tuple.tuple];
    }
    ADD_FAILURE() << "no tuple with port " << port;
    return connects->tuples[{}];
  }

  AgentView view() {
    census = view_of(sample, nullptr, {});
    return {&identity, &policy, &sources,  &census, connects ? &*connects : nullptr,
            &host,     &round,  moment(0), 42,      observer};
  }

  Document status(std::int64_t age_s = 0, const StatusOptions& options = {}) {
    return status_document(view(), moment(age_s).steady, options);
  }
};

std::set<std::string> keys_of(const Document& document) {
  std::set<std::string> keys;
  for (const auto& [key, value] : document.items()) keys.insert(key);
  return keys;
}

TEST(StatusDocument, has_the_fields_that_are_promised) {
  Agent agent;
  agent.add(9'000, 720);
  agent.decide(9'000, State::kYellow);
  const Document status = agent.status();
  EXPECT_THAT(keys_of(status),
              IsSupersetOf({"schema", "at", "instance", "version", "interval_ms", "mode", "state", "since", "p_stress",
                            "model", "reasons", "parameters", "tiers", "tuples", "observer"}));
  EXPECT_THAT(keys_of(status["parameters"]),
              ElementsAre("catch_up_cap", "clip_scale", "connect_rate_per_s", "launch_jitter_max_ms",
                          "max_new_connects", "non_urgent_flow", "optional_reconnects", "pool_reuse", "retry_burst",
                          "retry_rate_per_s", "urgency_override"));
  EXPECT_THAT(keys_of(status["tiers"]["sources"][0]), ElementsAre("active", "name", "needs", "tier"));
  EXPECT_THAT(keys_of(status["observer"]),
              IsSupersetOf({"pass_us", "interval_ms", "missed_windows", "walk", "lost_events"}));
  const std::set<std::string> of_census = keys_of(tuple_document(agent.census.tuples[0], "self"));
  EXPECT_THAT(keys_of(status["tuples"][0]), IsSupersetOf(of_census));
  EXPECT_THAT(keys_of(status["tuples"][0]), IsSupersetOf({"state", "since", "peer_fault", "p_stress", "cfr",
                                                          "cfr_local", "attempts", "ctl95_us", "rbi"}));
}

TEST(StatusDocument, says_who_runs_how_and_since_when) {
  Agent agent;
  agent.round.host.standing.state = State::kYellow;
  agent.round.host.p_stress = 0.45;
  const Document status = agent.status();
  EXPECT_EQ(status["schema"], "tidewaiter.status/1");
  EXPECT_EQ(status["at"], "2026-11-21T04:13:10.000Z");
  EXPECT_EQ(status["instance"], "desk");
  EXPECT_EQ(status["version"], "0.1.0");
  EXPECT_EQ(status["interval_ms"], 1'000);
  EXPECT_EQ(status["mode"]["connection"], "enforce");
  EXPECT_EQ(status["mode"]["order"], "shadow");
  EXPECT_EQ(status["state"], "YELLOW");
  EXPECT_EQ(status["since"], "2026-11-21T04:12:40.000Z") << "an instant of this boot as wall time";
  EXPECT_EQ(status["p_stress"], 0.45);
  EXPECT_EQ(status["model"], "prior/1");
}

TEST(StatusDocument, what_is_not_known_is_null_with_a_reason) {
  Agent agent;
  agent.observer.pass.reset();
  agent.add(9'000, 20);
  const Document status = agent.status();
  EXPECT_TRUE(status["p_stress"].is_null());
  EXPECT_TRUE(status["observer"]["pass_us"].is_null());
  EXPECT_TRUE(status["observer"]["last_error"].is_null());
  EXPECT_TRUE(status["parameters"]["catch_up_cap"].is_null());
  EXPECT_TRUE(status["parameters"]["retry_rate_per_s"].is_null());
  EXPECT_TRUE(status["parameters"]["connect_rate_per_s"].is_null());
  for (const char* field : {"p_stress", "cfr", "cfr_local", "attempts", "ctl95_us", "rbi", "demand_per_s"}) {
    EXPECT_TRUE(status["tuples"][0][field].is_null()) << field;
  }
  for (const char* field : {"tuples.cfr", "tuples.ctl95_us", "tuples.rbi", "p_stress"}) {
    EXPECT_TRUE(status["absent"][field].is_string()) << field;
  }
}

TEST(StatusDocument, reasons_name_value_threshold_and_subject) {
  Agent agent;
  agent.add(9'000, 720);
  const auto& decided = agent.decide(9'000, State::kYellow);
  agent.round.host.reasons = decided.decision.reasons;
  agent.round.host.subject = decided.tuple;
  const Document reason = agent.status()["reasons"][0];
  EXPECT_EQ(reason.dump(), R"({"condition":"ppr_preferred","op":">=","value":0.72,"threshold":0.7,)"
                           R"("subject":{"netns":"self","src":"127.0.0.1","dst":"10.0.0.7","dport":9000}})");
}

TEST(StatusDocument, reason_of_nobody_and_without_end_has_nulls) {
  control::Reasons reasons;
  reasons.add({"time_to_cliff", control::Comparison::kBelow, std::numeric_limits<double>::infinity(), 60});
  const Document list = reasons_document(reasons, std::nullopt, "self");
  EXPECT_TRUE(list[0]["value"].is_null());
  EXPECT_TRUE(list[0]["subject"].is_null());
  EXPECT_EQ(list[0]["op"], "<");
}

TEST(StatusDocument, is_stale_when_it_is_older_than_the_policy_allows) {
  Agent agent;
  agent.round.host.enforced.connection.max_new_connects = 64;
  agent.round.host.stale.connection.max_new_connects = 16;
  EXPECT_EQ(agent.status(4)["state"], "GREEN");
  EXPECT_EQ(agent.status(5)["state"], "STALE");
  EXPECT_EQ(agent.status(5)["enforced"]["max_new_connects"], 16);
  EXPECT_EQ(agent.status(5)["at"], agent.status(0)["at"]) << "of what it shows";
  agent.observer.interval = base::Seconds(10);
  EXPECT_EQ(agent.status(39)["state"], "GREEN") << "by the stretched interval";
}

TEST(StatusDocument, is_stale_when_windows_were_missed) {
  Agent agent;
  agent.round.host.standing = {State::kRed, true};
  agent.observer.last_error = "gone";
  agent.observer.missed_windows = 3;
  agent.observer.lost_events = {{"journal_rows", 9}};
  const Document status = agent.status();
  EXPECT_EQ(status["state"], "STALE");
  EXPECT_EQ(status["observer"]["last_error"], "gone");
  EXPECT_EQ(status["observer"]["missed_windows"], 3);
  EXPECT_EQ(status["observer"]["lost_events"].dump(), R"({"journal_rows":9})");
}

TEST(StatusDocument, tuples_beyond_the_limit_are_counted_and_troubled_ones_stay) {
  Agent agent;
  for (std::uint16_t n = 0; n < 10; ++n) agent.add(static_cast<std::uint16_t>(9'000 + n), 100U - n);
  agent.decide(9'009, State::kOrange);
  const Document status = agent.status(0, {3});
  ASSERT_EQ(status["tuples"].size(), 3U);
  EXPECT_EQ(status["tuples_omitted"], 7);
  EXPECT_EQ(status["tuples"][0]["dport"], 9'009) << "not GREEN comes first";
  EXPECT_EQ(status["tuples"][1]["dport"], 9'000) << "then by pressure";
  EXPECT_EQ(status["tuples"][2]["dport"], 9'001);
  EXPECT_EQ(agent.status()["tuples_omitted"], 0);
}

TEST(StatusDocument, tuple_that_nobody_watches_is_green_from_the_start) {
  Agent agent;
  agent.add(9'000, 5);
  const Document tuple = agent.status()["tuples"][0];
  EXPECT_EQ(tuple["state"], "GREEN");
  EXPECT_EQ(tuple["since"], "2026-11-21T04:12:10.000Z");
  EXPECT_EQ(tuple["peer_fault"], false);
  EXPECT_FALSE(tuple.contains("parameters"));
}

TEST(StatusDocument, troubled_tuple_has_parameters_detected_and_enforced) {
  Agent agent;
  agent.add(9'000, 720);
  auto& decided = agent.decide(9'000, State::kYellow);
  decided.decision.has_peer_fault = true;
  agent.connects_of(9'000).pooled = telemetry::ConnectCounts{40, 1, 3};
  const Document tuple = agent.status()["tuples"][0];
  EXPECT_EQ(tuple["peer_fault"], true);
  EXPECT_EQ(tuple["parameters"]["clip_scale"], 0.875);
  EXPECT_EQ(tuple["enforced"]["clip_scale"], 1.0);
  EXPECT_EQ(tuple["attempts"], 40);
  EXPECT_EQ(tuple["cfr"], 0.1);
  EXPECT_EQ(tuple["cfr_local"], 0.025);
}

TEST(StatusDocument, tells_how_the_connects_of_a_tuple_went) {
  Agent agent;
  agent.add(9'000, 720);
  telemetry::TupleConnects& connects = agent.connects_of(9'000);
  connects.totals.attempts = 12;
  connects.totals.established = 7;
  connects.totals.ended[static_cast<std::size_t>(telemetry::ConnectCause::kRefused)] = 4;
  connects.totals.pre_syn_unattributed = 1;
  connects.connect_p95 = telemetry::Quantile{base::Milliseconds(3), true};
  connects.connect_p99 = telemetry::Quantile{base::Milliseconds(4), false};
  connects.search_p95 = telemetry::Quantile{base::Microseconds(6), false};
  connects.bursts = {0.5, std::nullopt, std::nullopt, std::nullopt};
  connects.burst_index = 0.5;
  connects.attempts_per_s = 3;
  connects.processes = {{4711, "drop-copy", 4, 0, 2, {}}};
  agent.connects->totals = connects.totals;
  const Document status = agent.status();
  const Document& tuple = status["tuples"][0];
  EXPECT_EQ(tuple["connects"]["attempts"], 12);
  EXPECT_EQ(tuple["connects"]["failures"]["refused"], 4);
  EXPECT_EQ(tuple["connects"]["failures"]["timeout"], 0);
  EXPECT_EQ(tuple["connects"]["pre_syn_unattributed"], 1);
  EXPECT_EQ(tuple["ctl95_us"], 3'000.0);
  EXPECT_EQ(tuple["ctl95_at_least"], true) << "the rest had not come by then";
  EXPECT_EQ(tuple["ctl99_us"], 4'000.0);
  EXPECT_EQ(tuple["ctl99_at_least"], false);
  EXPECT_EQ(tuple["port_search_p95_us"], 6.0);
  EXPECT_EQ(tuple["rbi"], 0.5);
  EXPECT_EQ(tuple["rbi_widths"].dump(), R"({"20ms":0.5,"100ms":null,"250ms":null,"500ms":null})");
  EXPECT_EQ(tuple["attempts_per_s"], 3.0);
  EXPECT_EQ(tuple["processes"].dump(), R"([{"pid":4711,"comm":"drop-copy","failures":4,"slow":0,"retries":2}])");
  EXPECT_EQ(status["host"]["connects"]["established"], 7);
}

TEST(StatusDocument, a_tuple_without_connects_has_counts_of_nothing_and_rates_that_nobody_knows) {
  Agent agent;
  agent.add(9'000, 720);
  agent.connects.emplace();
  const Document status = agent.status();
  const Document& tuple = status["tuples"][0];
  EXPECT_EQ(tuple["connects"]["attempts"], 0);
  EXPECT_EQ(tuple["attempts_per_s"], 0.0);
  EXPECT_TRUE(tuple["processes"].empty());
  EXPECT_TRUE(tuple["cfr"].is_null());
  EXPECT_EQ(status["absent"]["tuples.cfr"], "no connect ended in the last 30 s");
  EXPECT_EQ(status["absent"]["tuples.rbi"], "too few retries in the last 5 s");
  EXPECT_FALSE(status["absent"].contains("tuples.connects"));
}

TEST(StatusDocument, says_which_source_connects_would_need) {
  Agent agent;
  agent.add(9'000, 720);
  const Document status = agent.status();
  EXPECT_TRUE(status["tuples"][0]["connects"].is_null());
  EXPECT_TRUE(status["tuples"][0]["processes"].is_null());
  EXPECT_TRUE(status["host"]["connects"].is_null());
  EXPECT_EQ(status["absent"]["tuples.connects"], "no source sees connects: bpf_state needs CAP_PERFMON");
  EXPECT_EQ(status["absent"]["host.connects"], status["absent"]["tuples.connects"]);
  for (const auto& [field, value] : status["tuples"][0].items()) {
    const bool is_of_connects = field == "attempts" || field.find("ctl") == 0 || field.find("retr") == 0;
    EXPECT_TRUE(!value.is_null() || !is_of_connects || status["absent"].contains("tuples." + field)) << field;
  }
}

TEST(StatusDocument, tier_is_the_highest_active_source) {
  Agent agent;
  EXPECT_EQ(agent.status()["tiers"]["active"], 0);
  EXPECT_EQ(agent.status()["tiers"]["sources"][1]["needs"], "CAP_PERFMON");
  EXPECT_TRUE(agent.status()["tiers"]["sources"][0]["needs"].is_null());
  agent.sources[1].is_active = true;
  EXPECT_EQ(agent.status()["tiers"]["active"], 1);
}

TEST(StatusDocument, lists_conditions_that_are_off_with_what_they_need) {
  Agent agent;
  const Document status = agent.status();
  std::set<std::string> off;
  for (const Document& entry : status["conditions_off"]) {
    EXPECT_FALSE(entry["needs"].get<std::string>().empty());
    off.insert(entry["condition"]);
  }
  EXPECT_THAT(off, IsSupersetOf({"ctl95", "cfr", "rbi", "dsd95"}));
  EXPECT_EQ(off.count("ppr_preferred"), 0U);
}

TEST(WindowDocument, is_the_status_with_number_and_transitions) {
  Agent agent;
  agent.add(9'000, 720);
  auto& decided = agent.decide(9'000, State::kYellow);
  decided.decision.transition =
      control::Transition{{}, {State::kYellow, false}, control::Trigger::kWindow, decided.decision.reasons};
  const Document window = window_document(agent.view());
  EXPECT_EQ(window["schema"], "tidewaiter.window/1");
  EXPECT_EQ(window["window"], 42);
  ASSERT_EQ(window["transitions"].size(), 1U);
  const Document& transition = window["transitions"][0];
  EXPECT_EQ(transition["at"], "2026-11-21T04:13:10.000Z");
  EXPECT_EQ(transition["window"], 42);
  EXPECT_EQ(transition["scope"], "tuple");
  EXPECT_EQ(transition["subject"]["dport"], 9'000);
  EXPECT_EQ(transition["from"], "GREEN");
  EXPECT_EQ(transition["to"], "YELLOW");
  EXPECT_EQ(transition["trigger"], "window");
  EXPECT_EQ(transition["enforced"], true);
  EXPECT_EQ(transition["reasons"].size(), 1U);
  Document without = window;
  for (const char* key : {"window", "transitions"}) without.erase(key);
  without["schema"] = "tidewaiter.status/1";
  EXPECT_EQ(without, agent.status()) << "everything else is the status";
}

TEST(ConfigDocument, has_every_setting_with_what_is_allowed) {
  control::Policy policy;
  const auto settings = control::settings_of(policy);
  const Document config = config_document(settings);
  EXPECT_EQ(config["schema"], "tidewaiter.config/1");
  ASSERT_EQ(config["settings"].size(), settings.size());
  EXPECT_THAT(keys_of(config["settings"][0]), ElementsAre("allowed", "key", "purpose", "unit", "value"));
}

}  // namespace
}  // namespace tidewaiter::output
