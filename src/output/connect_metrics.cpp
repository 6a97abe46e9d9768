// SPDX-License-Identifier: Apache-2.0
#include "output/connect_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "output/census_metrics.h"

namespace tidewaiter::output {
namespace {

using Labels = Exposition::Labels;

double seconds(base::Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

/// What the series of one tuple show, or those of all that have none.
struct Values {
  telemetry::ConnectTotals totals;
  std::uint64_t reconnects = 0;
  std::array<std::optional<double>, telemetry::kBurstWidths.size()> bursts;  ///< of several tuples the highest
  ConnectHistograms histograms;

  void add(const telemetry::TupleConnects& connects) {
    totals += connects.totals;
    reconnects += connects.reconnects;
    for (std::size_t i = 0; i < bursts.size(); ++i) {
      if (const auto& burst = connects.bursts.at(i)) bursts.at(i) = std::max(bursts.at(i).value_or(0), *burst);
    }
  }
};

HistogramSample sample_of(const DurationCounts& counts, const BucketEdges& edges, base::Nanoseconds sum) {
  HistogramSample sample;
  sample.sum = seconds(sum);
  for (std::size_t i = 0; i < counts.buckets.size(); ++i) {
    sample.count += counts.buckets.at(i);
    if (i < edges.size()) sample.cumulative.emplace_back(std::ldexp(1e-9, edges.at(i)), sample.count);
  }
  return sample;
}

Labels with(Labels labels, std::string_view name, std::string_view value) {
  labels.push_back({std::string(name), std::string(value)});
  return labels;
}

void add_failures(Exposition& exposition, const Labels& labels, const telemetry::ConnectTotals& totals) {
  constexpr const char* kMetric = "tidewaiter_connect_failures_total";
  for (std::size_t i = 0; i < telemetry::kConnectCauses; ++i) {
    const auto cause = static_cast<telemetry::ConnectCause>(i);
    exposition.add(kMetric, with(labels, "cause", telemetry::name(cause)), static_cast<double>(totals.count(cause)));
  }
  exposition.add(kMetric, with(labels, "cause", "pre_syn"), static_cast<double>(totals.pre_syn_unattributed));
}

void add_series(Exposition& exposition, const Labels& labels, const Values& values) {
  const telemetry::ConnectTotals& totals = values.totals;
  const auto add = [&](const char* metric, std::uint64_t count) {
    exposition.add(metric, labels, static_cast<double>(count));
  };
  add("tidewaiter_connect_attempts_total", totals.attempts);
  add_failures(exposition, labels, totals);
  exposition.add("tidewaiter_connect_duration_seconds", labels,
                 sample_of(values.histograms.connect, kConnectEdges, totals.connect_time));
  exposition.add("tidewaiter_port_search_duration_seconds", labels,
                 sample_of(values.histograms.search, kSearchEdges, totals.search_time));
  exposition.add("tidewaiter_port_search_cpu_seconds_total", labels, seconds(totals.search_time));
  add("tidewaiter_syn_retransmits_total", totals.syn_retransmits);
  add("tidewaiter_connect_retries_total", totals.retries);
  add("tidewaiter_reconnects_total", values.reconnects);
  add("tidewaiter_connect_port_probes_total", totals.port_probes);
  constexpr std::array<const char*, telemetry::kBurstWidths.size()> kWidths = {"20ms", "100ms", "250ms", "500ms"};
  for (std::size_t i = 0; i < kWidths.size(); ++i) {
    exposition.add("tidewaiter_retry_burst_index", with(labels, "width", kWidths.at(i)), values.bursts.at(i));
  }
}

void add_listeners(Exposition& exposition, const AgentView& view) {
  std::map<std::uint16_t, std::uint64_t> dropped_by_port;  // the address is not known
  for (const telemetry::ListenerHandshakes& listener : view.connects->listeners) {
    dropped_by_port[listener.port] += listener.dropped_final_acks;
    if (listener.synack_retransmits == 0 && listener.address == telemetry::Address()) continue;
    exposition.add("tidewaiter_listener_synack_retransmits_total",
                   {{"netns", view.identity->netns},
                    {"addr", listener.address.to_string()},
                    {"port", std::to_string(listener.port)}},
                   static_cast<double>(listener.synack_retransmits));
  }
  for (const auto& [port, dropped] : dropped_by_port) {
    exposition.add("tidewaiter_listener_dropped_final_acks_total",
                   {{"netns", view.identity->netns}, {"port", std::to_string(port)}}, static_cast<double>(dropped));
  }
}

}  // namespace

void add_connects(Exposition& exposition, const AgentView& view, const ConnectDurations& durations,
                  const SeriesLimit& series) {
  if (view.connects == nullptr) return;
  const std::string& netns = view.identity->netns;
  Values others;
  if (view.connects->other) others.totals += *view.connects->other;
  for (const auto& [tuple, connects] : view.connects->tuples) {
    if (!series.has(tuple)) {
      others.add(connects);
      continue;
    }
    Values values;
    values.add(connects);
    values.histograms = durations.of(tuple);
    add_series(exposition, labels_of(tuple, netns), values);
  }
  others.histograms = durations.of_others();
  add_series(exposition, other_labels(netns), others);
  add_listeners(exposition, view);
}

void add_sources(Exposition& exposition, const AgentView& view) {
  for (const Source& source : *view.sources) {
    exposition.add("tidewaiter_source_active", {{"source", source.name}, {"tier", std::to_string(source.tier)}},
                   source.is_active ? 1 : 0);
  }
}

}  // namespace tidewaiter::output
