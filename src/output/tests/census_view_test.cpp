// SPDX-License-Identifier: Apache-2.0
#include "output/census_view.h"

#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <set>

#include "output/census_metrics.h"
#include "output/census_table.h"
#include "output/documents.h"
#include "output/metrics.h"

namespace tidewaiter::output {
namespace {

using telemetry::Address;
using telemetry::PortHolder;

const Address kLoopback = Address::v4(0x7f000001);

/// A look at `tuples` destinations, the n-th of which holds n ports, over a range of 2000 with 10 reserved.
telemetry::Sample look(std::uint32_t tuples, std::int64_t second = 0) {
  telemetry::Sample sample;
  sample.at = {base::Instant(base::Seconds(second)), base::WallTime(base::Seconds(1'795'234'390 + second))};
  telemetry::PortSettings settings;
  settings.lo = 40'000;
  settings.hi = 41'999;
  for (std::uint32_t port = 40'010; port < 40'020; ++port) settings.reserved.set(port);
  sample.plan = telemetry::PortPlan(settings, {});
  for (std::uint32_t n = 1; n <= tuples; ++n) {
    telemetry::TupleSample tuple;
    tuple.tuple = {kLoopback, kLoopback, static_cast<std::uint16_t>(9'000 + n)};
    for (std::uint32_t i = 0; i < n; ++i) {
      const auto port = static_cast<std::uint16_t>(40'020 + 2 * i);
      tuple.ports.edit().push_back({i + 1, 0, port, PortHolder::kLive, false});
    }
    tuple.counts.live = tuple.counts.live_preferred = n;
    sample.tuples.push_back(tuple);
  }
  sample.in_range = tuples * (tuples + 1) / 2;
  sample.listeners = {{kLoopback, 9'001, 1, 0, 512, 0, 0, std::nullopt}};
  return sample;
}

/// Every usable port towards 127.0.0.1:9001 is taken, by the same sockets at each look.
telemetry::Sample exhausted(std::int64_t second) {
  telemetry::Sample sample = look(1, second);
  auto& tuple = sample.tuples[0];
  tuple.ports.edit().clear();
  for (std::uint16_t port = 40'000; port < 42'000; ++port) {
    if (sample.plan.is_usable(port)) tuple.ports.edit().push_back({port, 0, port, PortHolder::kLive, false});
  }
  tuple.counts.live = static_cast<std::uint32_t>(tuple.ports.size());
  tuple.counts.live_preferred = tuple.counts.live / 2;
  return sample;
}

TEST(CensusDocument, does_not_know_the_demand_of_a_tuple_that_never_had_a_free_port) {
  const auto first = exhausted(0);
  const auto second = exhausted(1);
  telemetry::DemandTracker demand;
  demand.observe(first, second);
  const auto document = census_document(view_of(second, &demand, {}));
  EXPECT_EQ(document["tuples"][0]["free"], 0);
  EXPECT_TRUE(document["tuples"][0]["demand_per_s"].is_null());
  EXPECT_TRUE(document["tuples"][0]["time_to_exhaustion_s"].is_null());
  EXPECT_EQ(document["tuples"][0]["opened_per_s"], 0);
  EXPECT_EQ(document["absent"]["demand_per_s"],
            "of tuples that never had a free port: connects that fail leave no socket to count");
}

/// Every even port towards 127.0.0.1:9001 is taken.
telemetry::Sample past_cliff() {
  telemetry::Sample sample = look(1);
  auto& tuple = sample.tuples[0];
  tuple.ports.edit().clear();
  for (std::uint32_t port = 40'000; port < 42'000; port += 2) {
    if (sample.plan.is_usable(static_cast<std::uint16_t>(port))) {
      tuple.ports.edit().push_back({port, 0, static_cast<std::uint16_t>(port), PortHolder::kLive, false});
    }
  }
  tuple.counts.live = tuple.counts.live_preferred = static_cast<std::uint32_t>(tuple.ports.size());
  return sample;
}

TEST(CensusView, puts_the_highest_pressure_first) {
  const auto sample = look(5);
  const auto view = view_of(sample, nullptr, {});
  ASSERT_EQ(view.tuples.size(), 5U);
  EXPECT_EQ(view.tuples.front().sample->tuple.destination_port, 9'005);
  EXPECT_EQ(view.tuples.back().sample->tuple.destination_port, 9'001);
  EXPECT_DOUBLE_EQ(*view.host.ppr, 5.0 / 1'990);
  EXPECT_DOUBLE_EQ(*view.host.ppr_literal, 15.0 / 1'990);
}

TEST(CensusView, shows_some_destinations_and_keeps_the_hosts_figures) {
  const auto sample = look(5);
  const auto view = view_of(sample, nullptr, {}, parse_tuple_filter(":9002").value());
  ASSERT_EQ(view.tuples.size(), 1U);
  EXPECT_DOUBLE_EQ(*view.host.ppr, 5.0 / 1'990);
}

TEST(CensusView, knows_demand_after_a_second_look) {
  const auto first = look(1);
  auto second = look(1, 1);
  for (std::uint32_t i = 1; i < 101; ++i) {
    second.tuples[0].ports.edit().push_back(
        {1'000 + i, 59'000, static_cast<std::uint16_t>(40'100 + i), PortHolder::kTimeWait, false});
  }
  telemetry::DemandTracker demand;
  demand.observe(first, second);
  const auto view = view_of(second, &demand, {});
  EXPECT_DOUBLE_EQ(*view.tuples[0].outlook.demand_per_s, 100.0);
  EXPECT_DOUBLE_EQ(*view.tuples[0].outlook.opened_per_s, 100.0);
  EXPECT_DOUBLE_EQ(*view.tuples[0].outlook.closed_per_s, 100.0);
  EXPECT_TRUE(view.tuples[0].outlook.forecast->time_to_exhaustion) << "2,000 ports do not carry 100/s";
}

TEST(TupleFilter, reads_every_form_of_a_destination) {
  EXPECT_EQ(parse_tuple_filter("10.0.0.7").value().destination, Address::v4(0x0a000007));
  EXPECT_FALSE(parse_tuple_filter("10.0.0.7").value().destination_port);
  EXPECT_EQ(parse_tuple_filter("10.0.0.7:9000").value().destination_port, 9'000);
  EXPECT_EQ(parse_tuple_filter("[::1]:9000").value().destination, telemetry::parse_address("::1"));
  EXPECT_EQ(parse_tuple_filter("::1").value().destination, telemetry::parse_address("::1"));
  EXPECT_FALSE(parse_tuple_filter(":9000").value().destination);
  EXPECT_TRUE(parse_tuple_filter("").value().accepts({}));
  for (const char* text : {"venue", "10.0.0.7:", "10.0.0.7:0", "10.0.0.7:65536", "::1]:80", "[::1]", "[10.0.0.7]:80",
                           ":", "10.0.0.7:80x"}) {
    EXPECT_EQ(parse_tuple_filter(text).error().code, base::ErrorCode::kInvalidArgument) << text;
  }
}

TEST(CensusDocument, has_every_field_and_null_for_what_is_not_known) {
  const auto sample = look(1);
  const Document document = census_document(view_of(sample, nullptr, {}));
  EXPECT_EQ(document["schema"], "tidewaiter.census/1");
  EXPECT_EQ(document["at"], "2026-11-21T04:13:10.000Z");
  EXPECT_EQ(document["range"]["capacity"], 1'990);
  EXPECT_EQ(document["range"]["preferred"], "even");
  const Document& tuple = document["tuples"][0];
  for (const char* field :
       {"netns", "src", "dst", "dport", "live", "live_preferred", "time_wait", "time_wait_preferred",
        "time_wait_reusable", "outside_range", "free", "free_preferred", "ppr", "ppr_preferred", "twr",
        "next_release_ms", "demand_per_s", "time_to_cliff_s", "time_to_exhaustion_s"}) {
    EXPECT_TRUE(tuple.contains(field)) << field;
  }
  EXPECT_EQ(tuple["free"], 1'989);
  EXPECT_TRUE(tuple["demand_per_s"].is_null());
  EXPECT_TRUE(tuple["next_release_ms"].is_null());
  EXPECT_EQ(document["absent"]["demand_per_s"], "one look");
  const Document& idle = document["listeners"][0];
  EXPECT_EQ(idle["waiting"], 0);
  for (const char* field : {"wait_p50_ms", "wait_p95_ms", "oldest_wait_ms"})
    EXPECT_TRUE(idle[field].is_null()) << field;
  EXPECT_EQ(document["listeners"][0]["half_open"], 0);
  EXPECT_EQ(document["cost"]["passes"], 0);
}

TEST(CensusDocument, shows_how_late_accept_comes) {
  telemetry::Sample sample;
  telemetry::ListenerSample late;
  late.accept_queue = 3;
  sample.listeners.push_back(late);
  EXPECT_TRUE(census_document(view_of(sample, nullptr, {}))["listeners"][0]["waiting"].is_null())
      << "somebody waits, but nobody could be asked";
  sample.listeners[0].waits = telemetry::WaitDistribution{3, 20, 500, 501};
  const Document document = census_document(view_of(sample, nullptr, {}));
  const Document& listener = document["listeners"][0];
  EXPECT_EQ(listener["waiting"], 3);
  EXPECT_EQ(listener["wait_p50_ms"], 20);
  EXPECT_EQ(listener["wait_p95_ms"], 500);
  EXPECT_EQ(listener["oldest_wait_ms"], 501);
}

/// Every name of a document, dotted, arrays as [].
void collect_fields(const Document& document, const std::string& prefix, std::set<std::string>& fields) {
  if (document.is_array() && !document.empty()) return collect_fields(document[0], prefix + "[]", fields);
  if (!document.is_object()) {
    fields.insert(prefix);
    return;
  }
  for (const auto& [name, value] : document.items()) {
    const bool is_open = name == "settings" || name == "counters" || name == "absent";
    if (is_open) {
      fields.insert(name);
    } else {
      collect_fields(value, prefix.empty() ? name : prefix + "." + name, fields);
    }
  }
}

TEST(CensusDocument, is_described_field_by_field) {
  const auto sample = look(1);
  std::set<std::string> fields;
  collect_fields(census_document(view_of(sample, nullptr, {})), "", fields);
  std::ifstream page(std::string(TIDEWAITER_SOURCE_DIR) + "/docs/documents.md");
  const std::string text{std::istreambuf_iterator<char>(page), {}};
  EXPECT_GT(fields.size(), 40U);
  for (const std::string& field : fields) {
    const std::string last = field.substr(field.rfind('.') + 1);
    EXPECT_TRUE(text.find("`" + field + "`") != std::string::npos || text.find("`" + last + "`") != std::string::npos)
        << field;
  }
}

TEST(CensusDocument, tells_what_listed_the_connections_and_what_either_source_takes) {
  telemetry::Sample sample = look(1);
  sample.source = telemetry::LookSource::kIterator;
  sample.cost.walk_cpu[telemetry::LookSource::kIterator] = base::Microseconds(1'700);
  const Document document = census_document(view_of(sample, nullptr, {}));
  EXPECT_EQ(document["tier"], 0) << "the same numbers, however they were listed";
  EXPECT_EQ(document["cost"]["walk"].dump(), R"({"source":"bpf_iter","sock_diag_cpu_us":null,"bpf_iter_cpu_us":1700})");
}

TEST(CensusDocument, never_makes_up_a_ratio_of_an_empty_range) {
  telemetry::Sample sample = look(1);
  telemetry::PortSettings settings;
  settings.lo = settings.hi = 40'000;
  settings.reserved.set(40'000);
  sample.plan = telemetry::PortPlan(settings, {});
  sample.tuples[0].ports.edit().clear();
  sample.tuples[0].counts = {};
  const Document document = census_document(view_of(sample, nullptr, {}));
  EXPECT_TRUE(document["tuples"][0]["ppr"].is_null());
  EXPECT_TRUE(document["host"]["ppr"].is_null());
  EXPECT_TRUE(document["absent"].contains("ppr"));
}

TEST(ErrorDocument, carries_code_message_and_hint) {
  const auto failure = base::fail(base::ErrorCode::kNotFound, "no such thing", "make one");
  EXPECT_EQ(
      error_document(failure.value()).dump(),
      R"({"schema":"tidewaiter.error/1","error":{"code":"not_found","message":"no such thing","hint":"make one"}})");
}

TEST(CensusMetrics, bounds_the_tuples_and_shows_the_worst_of_the_others) {
  const auto sample = look(5);
  const auto view = view_of(sample, nullptr, {});
  SeriesLimit series(2);
  series.admit(view);
  const std::string text = census_metrics(view, series);
  EXPECT_NE(text.find(R"(tidewaiter_free_ports{netns="self",src="127.0.0.1",dst="127.0.0.1",dport="9005"} 1985)"),
            std::string::npos);
  EXPECT_EQ(text.find("9003"), std::string::npos);
  EXPECT_NE(text.find(R"(tidewaiter_free_ports{netns="self",src="other",dst="other",dport="other"} 1987)"),
            std::string::npos);
  EXPECT_EQ(text.find("time_to_exhaustion"), std::string::npos) << "not known";
  EXPECT_EQ(text.find("listener_half_open{netns=\"self\",addr=\"127.0.0.1\",port=\"9001\"} 0") == std::string::npos,
            false);
}

TEST(CensusMetrics, says_infinity_for_never) {
  const auto first = look(1);
  const auto second = look(1, 1);
  telemetry::DemandTracker demand;
  demand.observe(first, second);
  const auto view = view_of(second, &demand, {});
  SeriesLimit series;
  series.admit(view);
  const std::string text = census_metrics(view, series);
  EXPECT_NE(text.find("dport=\"9001\"} +Inf"), std::string::npos) << text;
}

TEST(MetricDeclarations, are_unique_and_follow_the_conventions) {
  std::set<std::string_view> names;
  for (const auto& metric : metric_declarations()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
    EXPECT_TRUE(metric.name.starts_with("tidewaiter_"));
    EXPECT_EQ(metric.kind == MetricKind::kCounter, metric.name.ends_with("_total")) << metric.name;
    EXPECT_FALSE(metric.help.empty());
  }
}

int widest_line(const std::string& text) {
  int widest = 0;
  std::size_t start = 0;
  while (start < text.size()) {
    const std::size_t end = text.find('\n', start);
    widest = std::max(widest, display_width(std::string_view(text).substr(start, end - start)));
    start = end + 1;
  }
  return widest;
}

TEST(CensusTable, fits_into_80_columns_with_the_longest_names_and_numbers) {
  auto sample = look(3);
  sample.tuples[0].tuple.source = sample.tuples[0].tuple.destination =
      *telemetry::parse_address("2001:db8:1111:2222:3333:4444:5555:6666");
  sample.listeners[0] = {*telemetry::parse_address("2001:db8:1111:2222:3333:4444:5555:6666"),
                         65'535,
                         9,
                         4'000'000'000,
                         4'000'000'000,
                         4'000'000'000,
                         4'000'000'000,
                         telemetry::WaitDistribution{9, 8, 9, 4'000'000'000}};
  sample.netns = "a-rather-long-name-of-a-namespace";
  telemetry::DemandTracker demand;
  demand.observe(look(0, -1), sample);
  for (const bool use_unicode : {true, false}) {
    Style style;
    style.use_unicode = use_unicode;
    const std::string text = census_table(view_of(sample, &demand, {}), style);
    EXPECT_LE(widest_line(text), 80) << text;
    EXPECT_EQ(text.find('\x1b'), std::string::npos) << "no colour unless asked";
    if (!use_unicode) {
      EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char byte) {
        return static_cast<unsigned char>(byte) < 128;
      })) << text;
    }
  }
}

TEST(CensusTable, says_in_one_line_what_is_wrong) {
  const auto sample = past_cliff();
  const auto headlines = headlines_of(view_of(sample, nullptr, {}));
  ASSERT_EQ(headlines.size(), 1U);
  EXPECT_NE(headlines[0].text.find("the even ports, which connect() tries first, are used up"), std::string::npos);
  const auto calm = look(2);
  EXPECT_NE(census_table(view_of(calm, nullptr, {}), {}).find("Nothing is wrong"), std::string::npos);
}

TEST(Headlines, put_the_worst_first) {
  auto sample = past_cliff();
  sample.listeners[0].accept_queue = 513;
  const auto headlines = headlines_of(view_of(sample, nullptr, {}));
  ASSERT_EQ(headlines.size(), 2U);
  EXPECT_NE(headlines[0].text.find("accept queue is full"), std::string::npos);
  EXPECT_EQ(headlines[1].tone, Tone::kWarning);
}

TEST(CensusScreen, fits_the_terminal_and_counts_the_rest) {
  auto sample = look(40);
  for (std::uint16_t port = 1; port <= 40; ++port)
    sample.listeners.push_back({kLoopback, port, 1, 0, 512, 0, 0, std::nullopt});
  const auto view = view_of(sample, nullptr, {});
  for (const int lines : {24, 30, 60, 200}) {
    const std::string text = census_screen(view, {}, lines, {100, 100});
    EXPECT_LT(std::count(text.begin(), text.end(), '\n'), lines);
    EXPECT_NE(text.find("127.0.0.1:9040"), std::string::npos) << "the worst tuple is always there";
  }
  EXPECT_NE(census_screen(view, {}, 3, {100, 100}).find("127.0.0.1:9040"), std::string::npos);
}

TEST(CensusTable, counts_what_it_does_not_show) {
  const auto sample = look(40);
  const std::string text = census_table(view_of(sample, nullptr, {}), {}, {10, 10});
  EXPECT_NE(text.find("and 30 more"), std::string::npos);
}

}  // namespace
}  // namespace tidewaiter::output
