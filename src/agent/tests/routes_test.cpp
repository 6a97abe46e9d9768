// SPDX-License-Identifier: Apache-2.0
#include "agent/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/tests/snapshot_samples.h"
#include "agent/tests/temporary_directory.h"
#include "store/journal.h"

namespace tidewaiter::agent {
namespace {

using control::State;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::json;

class RoutesTest : public ::testing::Test {
 protected:
  serve::Response get(const std::string& path, std::multimap<std::string, std::string> query = {}) {
    for (const serve::Route& route : routes_) {
      if (route.path == path) return route.handler({path, std::move(query)});
    }
    ADD_FAILURE() << "no route " << path;
    return {};
  }

  Json json(const std::string& path, std::multimap<std::string, std::string> query = {}) {
    const serve::Response response = get(path, std::move(query));
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.content_type, "application/json");
    return Json::parse(response.body, nullptr, false);
  }

  Json refusal(const std::string& path, std::multimap<std::string, std::string> query, int status) {
    const serve::Response response = get(path, std::move(query));
    EXPECT_EQ(response.status, status) << response.body;
    return Json::parse(response.body, nullptr, false)["error"];
  }

  void publish(std::shared_ptr<Snapshot> snapshot) {
    snapshot->window = ++windows_;
    tally_.note(*snapshot);
    snapshots_.put(std::move(snapshot));
  }

  /// A journal with one window, of the host.
  void keep_one_window() {
    auto journal = store::Journal::open(journal_, {{"desk", "boot", 0}, {}}, now_);
    ASSERT_TRUE(journal) << journal.error().message();
    store::WindowRow row;
    row.window = 1;
    row.at_ns = now_.wall.time_since_epoch().count();
    row.subject.netns = "self";
    row.state = row.enforced_state = "GREEN";
    row.model = "prior/1";
    row.ppr = 0.25;
    row.parameters = R"({"clip_scale":1.0})";
    const std::vector rows{row};
    ASSERT_TRUE(journal->append({rows, {}}, now_));
  }

  TemporaryDirectory tmp_;
  std::string journal_ = tmp_ / "journal.sqlite3";
  SnapshotBox snapshots_;
  Tally tally_{64};
  base::Moment now_ = moment(0);
  std::uint64_t windows_ = 0;
  std::vector<serve::Route> routes_ = routes({&snapshots_, &tally_, journal_, R"({"schema":"tidewaiter.config/1"})",
                                              [this] { return now_; }, [] { return std::uint64_t{5}; }});
};

TEST_F(RoutesTest, nothing_is_said_before_the_first_window) {
  for (const char* path : {"/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/census"}) {
    EXPECT_EQ(get(path).status, 503) << path;
  }
  EXPECT_THAT(refusal("/api/v1/status", {}, 503)["message"], HasSubstr("no window"));
}

TEST_F(RoutesTest, healthy_and_ready_with_a_fresh_window) {
  publish(snapshot_of(look_at({}), {}));
  EXPECT_EQ(get("/healthz").body, "ok\n");
  EXPECT_EQ(get("/readyz").body, "ready\n");
  EXPECT_EQ(get("/readyz").status, 200);
}

TEST_F(RoutesTest, not_ready_when_the_last_window_is_too_old) {
  publish(snapshot_of(look_at({}), {}));
  now_ = moment(4);
  EXPECT_EQ(get("/readyz").status, 200);
  now_ = moment(5);
  EXPECT_EQ(get("/readyz").status, 503);
  EXPECT_THAT(get("/readyz").body, StartsWith("stale"));
  EXPECT_EQ(get("/healthz").status, 200) << "it lives";
  EXPECT_EQ(json("/api/v1/status")["state"], "STALE");
}

TEST_F(RoutesTest, not_ready_while_windows_are_missed) {
  auto snapshot = snapshot_of(look_at({}), {});
  snapshot->round.host.standing.is_stale = true;
  snapshot->observer.last_error = "network namespace 'blue' has gone";
  publish(snapshot);
  EXPECT_EQ(get("/readyz").status, 503);
  EXPECT_EQ(get("/readyz").body, "stale: network namespace 'blue' has gone\n");
}

TEST_F(RoutesTest, status_is_the_window_that_was_published_last) {
  publish(snapshot_of(look_at({}), {}));
  EXPECT_EQ(json("/api/v1/status")["state"], "GREEN");
  EXPECT_TRUE(json("/api/v1/census")["tuples"].empty());
  publish(snapshot_of(look_at({{9'000, 900}}), {decision_for(9'000, State::kRed)}));
  EXPECT_EQ(json("/api/v1/census")["tuples"].size(), 1U);
  const Json status = json("/api/v1/status");
  EXPECT_EQ(status["schema"], "tidewaiter.status/1");
  EXPECT_EQ(status["state"], "RED");
  EXPECT_EQ(status["tuples"].size(), 1U);
}

TEST_F(RoutesTest, status_shows_as_many_tuples_as_asked) {
  publish(snapshot_of(look_at({{9'000, 3}, {9'001, 2}, {9'002, 1}}), {}));
  const Json status = json("/api/v1/status", {{"limit", "2"}});
  EXPECT_EQ(status["tuples"].size(), 2U);
  EXPECT_EQ(status["tuples_omitted"], 1);
}

TEST_F(RoutesTest, limit_that_is_not_allowed_names_what_is) {
  publish(snapshot_of(look_at({}), {}));
  for (const char* path : {"/api/v1/status", "/api/v1/windows", "/api/v1/transitions"}) {
    for (const char* limit : {"0", "10001", "-1", "many", "1.5", "1 "}) {
      const Json error = refusal(path, {{"limit", limit}}, 400);
      EXPECT_EQ(error["code"], "invalid_argument");
      EXPECT_THAT(error["message"], HasSubstr(limit));
      EXPECT_EQ(error["hint"], "a whole number from 1 to 10000");
    }
  }
}

TEST_F(RoutesTest, since_that_is_not_allowed_names_what_is) {
  for (const char* since : {"yesterday", "-5", "99999999999", "5 minutes"}) {
    const Json error = refusal("/api/v1/windows", {{"since", since}}, 400);
    EXPECT_THAT(error["message"], HasSubstr(since));
    EXPECT_THAT(error["hint"], HasSubstr("10m"));
  }
}

TEST_F(RoutesTest, tuple_that_is_none_names_what_is_allowed) {
  EXPECT_THAT(refusal("/api/v1/windows", {{"tuple", "venue"}}, 400)["hint"], HasSubstr("ADDRESS:PORT"));
  publish(snapshot_of(look_at({}), {}));
  EXPECT_THAT(refusal("/api/v1/census", {{"dst", "venue"}}, 400)["hint"], HasSubstr("ADDRESS:PORT"));
}

TEST_F(RoutesTest, census_can_be_narrowed_to_a_destination) {
  publish(snapshot_of(look_at({{9'000, 3}, {9'001, 2}}), {}));
  EXPECT_EQ(json("/api/v1/census")["tuples"].size(), 2U);
  const Json narrowed = json("/api/v1/census", {{"dst", ":9001"}});
  ASSERT_EQ(narrowed["tuples"].size(), 1U);
  EXPECT_EQ(narrowed["tuples"][0]["dport"], 9'001);
  EXPECT_EQ(narrowed["schema"], "tidewaiter.census/1");
}

TEST_F(RoutesTest, windows_are_those_of_the_journal) {
  keep_one_window();
  const Json windows = json("/api/v1/windows", {{"since", "10m"}});
  EXPECT_EQ(windows["schema"], "tidewaiter.windows/1");
  ASSERT_EQ(windows["windows"].size(), 1U);
  const Json& window = windows["windows"][0];
  EXPECT_EQ(window["window"], 1);
  EXPECT_EQ(window["at"], "2026-11-21T04:13:10.000Z");
  EXPECT_EQ(window["ppr"], 0.25);
  EXPECT_TRUE(window["demand_per_s"].is_null());
  EXPECT_EQ(window["parameters"]["clip_scale"], 1.0);
  EXPECT_TRUE(window["reasons"].is_null());
  EXPECT_TRUE(json("/api/v1/windows", {{"since", std::to_string(kStartUnixSeconds + 1)}})["windows"].empty());
  EXPECT_TRUE(json("/api/v1/windows", {{"tuple", "10.0.0.7:9000"}})["windows"].empty()) << "it is the host's";
}

TEST_F(RoutesTest, journal_that_is_not_there_is_unavailable) {
  EXPECT_EQ(get("/api/v1/windows").status, 503);
  EXPECT_EQ(get("/api/v1/transitions").status, 503);
}

TEST_F(RoutesTest, transitions_of_an_untroubled_journal_are_none) {
  keep_one_window();
  const Json transitions = json("/api/v1/transitions");
  EXPECT_EQ(transitions["schema"], "tidewaiter.transitions/1");
  EXPECT_TRUE(transitions["transitions"].empty());
}

TEST_F(RoutesTest, configuration_is_the_document_that_was_given) {
  EXPECT_EQ(json("/api/v1/config")["schema"], "tidewaiter.config/1");
}

TEST_F(RoutesTest, metrics_count_transitions_over_the_life_of_the_agent) {
  auto decision = decision_for(9'000, State::kRed);
  decision.decision.transition =
      control::Transition{{}, {State::kRed, false}, control::Trigger::kWindow, decision.decision.reasons};
  publish(snapshot_of(look_at({{9'000, 990}}), {decision}));
  publish(snapshot_of(look_at({{9'000, 990}}), {decision}));
  const serve::Response metrics = get("/metrics");
  EXPECT_THAT(metrics.content_type, StartsWith("text/plain; version=0.0.4"));
  EXPECT_THAT(metrics.body, HasSubstr(R"(tidewaiter_transitions_total{from="GREEN",to="RED",mode="enforce"} 2)"));
  EXPECT_THAT(metrics.body, HasSubstr("tidewaiter_http_requests_total 5"));
  EXPECT_THAT(metrics.body, HasSubstr(R"(tidewaiter_host_state{netns="self",state="RED"} 1)"));
  now_ = moment(60);
  EXPECT_THAT(get("/metrics").body, HasSubstr(R"(tidewaiter_host_state{netns="self",state="STALE"} 1)"));
}

}  // namespace
}  // namespace tidewaiter::agent
