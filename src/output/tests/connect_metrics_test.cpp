// SPDX-License-Identifier: Apache-2.0
#include "output/connect_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <rapidcheck.h>
#include <sstream>

namespace tidewaiter::output {
namespace {

using telemetry::Address;
using telemetry::ConnectCause;
using telemetry::LatencyCounts;
using ::testing::HasSubstr;
using ::testing::Not;

telemetry::Tuple tuple_to(std::uint16_t port) { return {Address::v4(0x7f000001), Address::v4(0x0a000007), port}; }

const std::string kOther = R"(netns="self",src="other",dst="other",dport="other")";

std::string labels_to(std::uint16_t port) {
  return R"(netns="self",src="127.0.0.1",dst="10.0.0.7",dport=")" + std::to_string(port) + "\"";
}

/// The connects of one window after the other, and what /metrics says of them.
class Agent {
 public:
  explicit Agent(std::size_t max_tuples = 64) : series(max_tuples) {}

  telemetry::ConnectTotals& totals(std::uint16_t port) { return now.tuples[tuple_to(port)].totals; }

  /// A window ends with the connects as they are.
  void end_window() {
    series.admit({}, &now);
    durations.note(now, is_first_ ? nullptr : &before_, series);
    before_ = now;
    is_first_ = false;
  }

  [[nodiscard]] std::string text(bool is_seen = true) const {
    AgentView view;
    view.identity = &identity;
    view.sources = &sources;
    view.connects = is_seen ? &now : nullptr;
    Exposition exposition;
    add_connects(exposition, view, durations, series);
    add_sources(exposition, view);
    return exposition.text();
  }

  telemetry::Connects now;
  SeriesLimit series;
  ConnectDurations durations;
  AgentIdentity identity{"desk", "0.1.0", "self", {}, base::Seconds(1)};
  std::vector<Source> sources{{"sock_diag", 0, true, ""}, {"bpf_state", 1, false, "CAP_PERFMON"}};

 private:
  telemetry::Connects before_;
  bool is_first_ = true;
};

/// The value of each sample of a metric, by its labels.
std::map<std::string, double> samples(const std::string& text, const std::string& metric) {
  std::map<std::string, double> result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t end = line.find("} ");
    if (line.rfind(metric + "{", 0) != 0 || end == std::string::npos) continue;
    result[line.substr(metric.size() + 1, end - metric.size() - 1)] = std::stod(line.substr(end + 2));
  }
  return result;
}

double sum_of(const std::string& text, const std::string& metric) {
  double sum = 0;
  for (const auto& [labels, value] : samples(text, metric)) sum += value;
  return sum;
}

void add(LatencyCounts& counts, base::Nanoseconds duration, std::uint32_t times) {
  LatencyCounts::Counts sums = counts.counts();
  sums.at(LatencyCounts::bucket_of(duration)) += times;
  counts = LatencyCounts(sums);
}

TEST(BucketEdges, end_where_buckets_of_the_source_end_and_rise) {
  for (const BucketEdges& edges : {kConnectEdges, kSearchEdges}) {
    for (std::size_t i = 0; i < edges.size(); ++i) {
      const base::Nanoseconds edge(std::int64_t{1} << edges.at(i));
      const std::size_t bucket = LatencyCounts::bucket_of(edge);
      EXPECT_EQ(LatencyCounts::lower(bucket), edge);
      EXPECT_EQ(LatencyCounts::bucket_of(edge - base::Nanoseconds(1)), bucket - 1);
      EXPECT_TRUE(i == 0 || edges.at(i) > edges.at(i - 1));
    }
  }
}

TEST(DurationCounts, count_each_duration_below_the_edges_that_it_is_below) {
  EXPECT_TRUE(rc::check("as counted one by one", [] {
    const auto logs = *rc::gen::container<std::vector<double>>(rc::gen::map(
        rc::gen::inRange(0, 40'000), [](int thousandths) { return static_cast<double>(thousandths) / 1000; }));
    LatencyCounts durations;
    DurationCounts expected;
    for (const double log : logs) {
      const base::Nanoseconds duration(static_cast<std::int64_t>(std::exp2(log)));
      durations.add(duration);
      const auto edge = std::upper_bound(kConnectEdges.begin(), kConnectEdges.end(), duration,
                                         [](auto d, int power) { return d < base::Nanoseconds(1LL << power); });
      ++expected.buckets.at(static_cast<std::size_t>(edge - kConnectEdges.begin()));
    }
    DurationCounts counts;
    counts.add(durations, kConnectEdges);
    RC_ASSERT(counts == expected);
  }));
}

TEST(ConnectMetrics, are_absent_without_a_source) {
  Agent agent;
  agent.totals(9'000).attempts = 3;
  agent.end_window();
  EXPECT_THAT(agent.text(false), Not(HasSubstr("tidewaiter_connect")));
  EXPECT_THAT(agent.text(), HasSubstr("tidewaiter_connect_attempts_total{" + labels_to(9'000) + "} 3"));
}

TEST(ConnectMetrics, tell_attempts_and_each_cause_so_that_endings_add_up) {
  Agent agent;
  telemetry::ConnectTotals& totals = agent.totals(9'000);
  totals.attempts = 20;
  totals.established = 8;
  add(totals.connect, base::Milliseconds(3), 8);
  totals.ended[static_cast<std::size_t>(ConnectCause::kRefused)] = 4;
  totals.ended[static_cast<std::size_t>(ConnectCause::kAddrNotAvailable)] = 3;
  totals.ended[static_cast<std::size_t>(ConnectCause::kAborted)] = 1;
  totals.pre_syn_unattributed = 2;
  agent.end_window();
  const std::string text = agent.text();
  const auto failures = samples(text, "tidewaiter_connect_failures_total");
  const auto of_cause = [&](const std::string& cause) {
    return failures.at(labels_to(9'000) + ",cause=\"" + cause + "\"");
  };
  EXPECT_EQ(of_cause("refused"), 4);
  EXPECT_EQ(of_cause("addr_not_available"), 3);
  EXPECT_EQ(of_cause("aborted"), 1);
  EXPECT_EQ(of_cause("pre_syn"), 2);
  EXPECT_EQ(of_cause("timeout"), 0) << "nothing failed so: a known number";
  const double in_flight = 20 - 8 - sum_of(text, "tidewaiter_connect_failures_total");
  EXPECT_EQ(in_flight, 2);
}

TEST(ConnectMetrics, durations_are_histograms_with_exact_counts_and_sums) {
  Agent agent;
  telemetry::ConnectTotals& totals = agent.totals(9'000);
  add(totals.connect, base::Microseconds(10), 5);
  add(totals.connect, base::Milliseconds(3), 2);
  add(totals.connect, base::Seconds(120), 1);
  totals.connect_time = base::Seconds(120) + base::Milliseconds(6) + base::Microseconds(50);
  add(totals.search, base::Microseconds(3), 8);
  totals.search_time = base::Microseconds(24);
  agent.end_window();
  const std::string text = agent.text();
  const std::string labels = labels_to(9'000);
  const auto buckets = samples(text, "tidewaiter_connect_duration_seconds_bucket");
  EXPECT_EQ(buckets.at(labels + R"(,le="1.6384e-05")"), 5);
  EXPECT_EQ(buckets.at(labels + R"(,le="0.002097152")"), 5);
  EXPECT_EQ(buckets.at(labels + R"(,le="0.004194304")"), 7);
  EXPECT_EQ(buckets.at(labels + R"(,le="+Inf")"), 8) << "two minutes are beyond the last edge";
  EXPECT_EQ(samples(text, "tidewaiter_connect_duration_seconds_count").at(labels), 8);
  EXPECT_DOUBLE_EQ(samples(text, "tidewaiter_connect_duration_seconds_sum").at(labels), 120.00605);
  EXPECT_EQ(samples(text, "tidewaiter_port_search_duration_seconds_count").at(labels), 8);
  EXPECT_DOUBLE_EQ(samples(text, "tidewaiter_port_search_duration_seconds_sum").at(labels), 24e-6);
  EXPECT_DOUBLE_EQ(samples(text, "tidewaiter_port_search_cpu_seconds_total").at(labels), 24e-6);
  EXPECT_THAT(text, HasSubstr("# TYPE tidewaiter_connect_duration_seconds histogram"));
}

TEST(ConnectMetrics, histograms_do_not_fall_when_a_counter_of_the_source_wraps) {
  Agent agent;
  add(agent.totals(9'000).connect, base::Milliseconds(3), std::numeric_limits<std::uint32_t>::max() - 1);
  agent.end_window();
  add(agent.totals(9'000).connect, base::Milliseconds(3), 7);
  agent.end_window();
  EXPECT_EQ(samples(agent.text(), "tidewaiter_connect_duration_seconds_count").at(labels_to(9'000)), 4'294'967'301.0);
}

TEST(ConnectMetrics, tuples_beyond_the_limit_and_those_without_room_in_the_source_are_one_series) {
  Agent agent(2);
  for (std::uint16_t port = 9'000; port < 9'005; ++port) agent.totals(port).attempts = 1;
  agent.now.other.emplace().attempts = 100;
  agent.end_window();
  const auto attempts = samples(agent.text(), "tidewaiter_connect_attempts_total");
  EXPECT_EQ(attempts.size(), 3U);
  EXPECT_EQ(attempts.at(kOther), 103);
}

TEST(ConnectMetrics, a_series_lasts_and_none_moves_out_of_other) {
  Agent agent(1);
  agent.totals(9'001).attempts = 4;
  agent.end_window();
  agent.totals(9'000).attempts = 9;
  agent.end_window();
  agent.end_window();
  const auto attempts = samples(agent.text(), "tidewaiter_connect_attempts_total");
  EXPECT_EQ(attempts.at(labels_to(9'001)), 4) << "although it has no socket and no connect any more";
  EXPECT_EQ(attempts.at(kOther), 9);
}

TEST(ConnectMetrics, series_add_up_to_the_host_and_never_fall) {
  EXPECT_TRUE(rc::check("sums and order", [] {
    Agent agent(static_cast<std::size_t>(*rc::gen::inRange(0, 5)));
    std::map<std::string, double> last;
    for (int window = 0; window < 6; ++window) {
      const auto busy = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 8));
      for (const int tuple : busy) {
        telemetry::ConnectTotals& totals =
            tuple == 0 && agent.now.other
                ? *agent.now.other
                : (tuple == 0 ? agent.now.other.emplace() : agent.totals(static_cast<std::uint16_t>(9'000 + tuple)));
        totals.attempts += 2;
        totals.established += 1;
        totals.ended[static_cast<std::size_t>(*rc::gen::inRange(0, 10))] += 1;
        add(totals.connect, base::Microseconds(*rc::gen::inRange(1, 100'000)), 1);
      }
      agent.end_window();
      const std::string text = agent.text();
      telemetry::ConnectTotals all = agent.now.other.value_or(telemetry::ConnectTotals{});
      for (const auto& [tuple, connects] : agent.now.tuples) all += connects.totals;
      RC_ASSERT(sum_of(text, "tidewaiter_connect_attempts_total") == static_cast<double>(all.attempts));
      RC_ASSERT(sum_of(text, "tidewaiter_connect_duration_seconds_count") == static_cast<double>(all.established));
      RC_ASSERT(sum_of(text, "tidewaiter_connect_failures_total") ==
                static_cast<double>(all.failed_local() + all.failed_peer() + all.failed_other() +
                                    all.count(ConnectCause::kAborted)));
      for (const char* metric : {"tidewaiter_connect_attempts_total", "tidewaiter_connect_failures_total",
                                 "tidewaiter_connect_duration_seconds_bucket"}) {
        for (const auto& [labels, value] : samples(text, metric)) {
          RC_ASSERT(value >= last[metric + labels]);
          last[metric + labels] = value;
        }
      }
    }
  }));
}

TEST(ConnectMetrics, burst_index_is_told_by_width_and_of_several_tuples_the_highest) {
  Agent agent(1);
  agent.now.tuples[tuple_to(9'000)].bursts = {0.9, 0.5, std::nullopt, 0.0};
  agent.now.tuples[tuple_to(9'001)].bursts = {0.1, std::nullopt, std::nullopt, std::nullopt};
  agent.now.tuples[tuple_to(9'002)].bursts = {0.3, std::nullopt, std::nullopt, std::nullopt};
  agent.end_window();
  const auto bursts = samples(agent.text(), "tidewaiter_retry_burst_index");
  EXPECT_EQ(bursts.at(labels_to(9'000) + R"(,width="20ms")"), 0.9);
  EXPECT_EQ(bursts.at(labels_to(9'000) + R"(,width="500ms")"), 0.0);
  EXPECT_EQ(bursts.count(labels_to(9'000) + R"(,width="250ms")"), 0U) << "few retries";
  EXPECT_EQ(bursts.at(kOther + R"(,width="20ms")"), 0.3);
}

TEST(ConnectMetrics, repeated_segments_retries_and_probes_have_counters_of_their_own) {
  Agent agent;
  telemetry::ConnectTotals& totals = agent.totals(9'000);
  totals.syn_retransmits = 2;
  totals.retries = 3;
  totals.port_probes = 4;
  agent.now.tuples[tuple_to(9'000)].reconnects = 5;
  agent.end_window();
  const std::string text = agent.text();
  EXPECT_EQ(samples(text, "tidewaiter_syn_retransmits_total").at(labels_to(9'000)), 2);
  EXPECT_EQ(samples(text, "tidewaiter_connect_retries_total").at(labels_to(9'000)), 3);
  EXPECT_EQ(samples(text, "tidewaiter_connect_port_probes_total").at(labels_to(9'000)), 4);
  EXPECT_EQ(samples(text, "tidewaiter_reconnects_total").at(labels_to(9'000)), 5);
}

TEST(ConnectMetrics, of_listeners_tell_repeated_syn_acks_by_address_and_dropped_acks_by_port) {
  Agent agent;
  agent.now.listeners = {
      {Address::v4(0x7f000001), 8'080, 3, 0}, {Address::v4(0x0a000001), 8'080, 1, 0}, {Address(), 8'080, 0, 6}};
  agent.end_window();
  const std::string text = agent.text();
  const auto repeated = samples(text, "tidewaiter_listener_synack_retransmits_total");
  EXPECT_EQ(repeated.size(), 2U);
  EXPECT_EQ(repeated.at(R"(netns="self",addr="127.0.0.1",port="8080")"), 3);
  const auto dropped = samples(text, "tidewaiter_listener_dropped_final_acks_total");
  EXPECT_EQ(dropped.size(), 1U);
  EXPECT_EQ(dropped.at(R"(netns="self",port="8080")"), 6);
}

TEST(ConnectMetrics, name_the_sources_that_are_attached_and_that_are_not) {
  const auto sources = samples(Agent().text(), "tidewaiter_source_active");
  EXPECT_EQ(sources.at(R"(source="sock_diag",tier="0")"), 1);
  EXPECT_EQ(sources.at(R"(source="bpf_state",tier="1")"), 0);
}

}  // namespace
}  // namespace tidewaiter::output
