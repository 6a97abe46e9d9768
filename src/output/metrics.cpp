// SPDX-License-Identifier: Apache-2.0
#include "output/metrics.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>
#include <map>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <utility>
#include <vector>

namespace tidewaiter::output {
namespace {

constexpr std::string_view kTupleLabels = "netns, src, dst, dport";
constexpr std::string_view kListenerLabels = "netns, addr, port";

constexpr std::array<MetricDeclaration, 16> kMetrics{{
    {"tidewaiter_port_pressure_ratio", MetricKind::kGauge, kTupleLabels,
     "Share of the tuple's ports that connect() cannot give: live connections and TIME_WAITs that are not reusable.",
     0},
    {"tidewaiter_preferred_parity_ratio", MetricKind::kGauge, kTupleLabels,
     "The same over the parity that connect() tries first; near 1 every connect() walks thousands of ports.", 0},
    {"tidewaiter_time_wait_ratio", MetricKind::kGauge, kTupleLabels,
     "Share of the tuple's ports held by TIME_WAIT and FIN_WAIT2 mini-sockets that are not reusable.", 0},
    {"tidewaiter_free_ports", MetricKind::kGauge, kTupleLabels,
     "Ports that connect() could give now; for dst=\"other\" the fewest of any tuple in it.", 0},
    {"tidewaiter_time_to_cliff_seconds", MetricKind::kGauge, kTupleLabels,
     "Until fewer than 1 % of the preferred ports are free at the present demand; 0 is past it, +Inf never.", 0},
    {"tidewaiter_time_to_exhaustion_seconds", MetricKind::kGauge, kTupleLabels,
     "Until no port is free at the present demand; 0 is now, +Inf never.", 0},
    {"tidewaiter_host_port_pressure_ratio", MetricKind::kGauge, "netns",
     "The highest port pressure ratio of any tuple.", 0},
    {"tidewaiter_host_time_wait_ratio", MetricKind::kGauge, "netns", "The highest TIME_WAIT ratio of any tuple.", 0},
    {"tidewaiter_host_literal_port_pressure_ratio", MetricKind::kGauge, "netns",
     "Sockets on ports of the range over its unreserved size, destinations ignored.", 0},
    {"tidewaiter_host_literal_time_wait_ratio", MetricKind::kGauge, "netns",
     "TIME_WAITs on ports of the range over its unreserved size, destinations ignored.", 0},
    {"tidewaiter_host_port_capacity", MetricKind::kGauge, "netns",
     "Ports that each source and destination can use: the range without reserved and locked ports.", 0},
    {"tidewaiter_listener_accept_queue", MetricKind::kGauge, kListenerLabels, "Connections that wait for accept().", 0},
    {"tidewaiter_listener_accept_limit", MetricKind::kGauge, kListenerLabels,
     "Limit of the accept queue; one more than this fits.", 0},
    {"tidewaiter_listener_half_open", MetricKind::kGauge, kListenerLabels, "Handshakes that wait for the final ACK.",
     0},
    {"tidewaiter_listener_drops_total", MetricKind::kCounter, kListenerLabels,
     "Packets that the listener dropped; a dropped final ACK counts twice.", 0},
    {"tidewaiter_observer_duration_seconds", MetricKind::kGauge, "netns", "Wall time of the last look at the sockets.",
     0},
}};

using Labels = std::vector<prometheus::ClientMetric::Label>;

/// Families by declaration, in the order of the table; only those with samples are written.
class Exposition {
 public:
  void add(std::string_view name, const Labels& labels, std::optional<double> value) {
    if (!value) return;
    const auto declaration = std::find_if(kMetrics.begin(), kMetrics.end(),
                                          [&](const MetricDeclaration& candidate) { return candidate.name == name; });
    assert(declaration != kMetrics.end() && "a metric that is not declared");
    prometheus::ClientMetric metric;
    metric.label = labels;
    if (declaration->kind == MetricKind::kCounter) {
      metric.counter.value = *value;
    } else {
      metric.gauge.value = *value;
    }
    samples_[static_cast<std::size_t>(declaration - kMetrics.begin())].push_back(std::move(metric));
  }

  [[nodiscard]] std::string text() const {
    std::vector<prometheus::MetricFamily> families;
    for (std::size_t i = 0; i < kMetrics.size(); ++i) {
      if (samples_[i].empty()) continue;
      const auto kind =
          kMetrics[i].kind == MetricKind::kCounter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
      families.push_back({std::string(kMetrics[i].name), std::string(kMetrics[i].help), kind, samples_[i]});
    }
    return prometheus::TextSerializer().Serialize(families);
  }

 private:
  std::array<std::vector<prometheus::ClientMetric>, kMetrics.size()> samples_;
};

/// What a tuple's series show; `never` is +Inf.
struct TupleValues {
  std::optional<double> ppr, ppr_preferred, twr, free, time_to_cliff_s, time_to_exhaustion_s;
};

std::optional<double> seconds_or_never(const std::optional<model::Forecast>& forecast,
                                       std::optional<base::Nanoseconds> model::Forecast::*field) {
  if (!forecast) return std::nullopt;
  const auto& time = (*forecast).*field;
  return time ? std::chrono::duration<double>(*time).count() : std::numeric_limits<double>::infinity();
}

TupleValues values_of(const TupleView& view) {
  const auto& outlook = view.outlook;
  return {outlook.pressure.ppr,
          outlook.pressure.ppr_preferred,
          outlook.pressure.twr,
          static_cast<double>(outlook.pressure.free),
          seconds_or_never(outlook.forecast, &model::Forecast::time_to_cliff),
          seconds_or_never(outlook.forecast, &model::Forecast::time_to_exhaustion)};
}

template <class Better>
void keep(std::optional<double>& kept, const std::optional<double>& value, Better is_worse) {
  if (value && (!kept || is_worse(*value, *kept))) kept = value;
}

void keep_worst(TupleValues& kept, const TupleValues& values) {
  keep(kept.ppr, values.ppr, std::greater<>());
  keep(kept.ppr_preferred, values.ppr_preferred, std::greater<>());
  keep(kept.twr, values.twr, std::greater<>());
  keep(kept.free, values.free, std::less<>());
  keep(kept.time_to_cliff_s, values.time_to_cliff_s, std::less<>());
  keep(kept.time_to_exhaustion_s, values.time_to_exhaustion_s, std::less<>());
}

void add_tuple(Exposition& exposition, const Labels& labels, const TupleValues& values) {
  exposition.add("tidewaiter_port_pressure_ratio", labels, values.ppr);
  exposition.add("tidewaiter_preferred_parity_ratio", labels, values.ppr_preferred);
  exposition.add("tidewaiter_time_wait_ratio", labels, values.twr);
  exposition.add("tidewaiter_free_ports", labels, values.free);
  exposition.add("tidewaiter_time_to_cliff_seconds", labels, values.time_to_cliff_s);
  exposition.add("tidewaiter_time_to_exhaustion_seconds", labels, values.time_to_exhaustion_s);
}

void add_listener(Exposition& exposition, const std::string& netns, const telemetry::ListenerSample& listener) {
  const Labels labels{
      {"netns", netns}, {"addr", listener.address.to_string()}, {"port", std::to_string(listener.port)}};
  exposition.add("tidewaiter_listener_accept_queue", labels, listener.accept_queue);
  exposition.add("tidewaiter_listener_accept_limit", labels, listener.accept_limit);
  exposition.add("tidewaiter_listener_half_open", labels, listener.half_open);
  exposition.add("tidewaiter_listener_drops_total", labels, listener.drops);
}

}  // namespace

std::span<const MetricDeclaration> metric_declarations() { return kMetrics; }

std::string census_metrics(const CensusView& view, const CensusMetricsOptions& options) {
  Exposition exposition;
  const telemetry::Sample& sample = *view.sample;
  TupleValues other;
  for (std::size_t i = 0; i < view.tuples.size(); ++i) {
    const TupleValues values = values_of(view.tuples[i]);
    if (i >= options.max_tuples) {
      keep_worst(other, values);
      continue;
    }
    const telemetry::Tuple& tuple = view.tuples[i].sample->tuple;
    add_tuple(exposition,
              {{"netns", sample.netns},
               {"src", tuple.source.to_string()},
               {"dst", tuple.destination.to_string()},
               {"dport", std::to_string(tuple.destination_port)}},
              values);
  }
  add_tuple(exposition, {{"netns", sample.netns}, {"src", "other"}, {"dst", "other"}, {"dport", "other"}}, other);
  const Labels host{{"netns", sample.netns}};
  exposition.add("tidewaiter_host_port_pressure_ratio", host, view.host.ppr);
  exposition.add("tidewaiter_host_time_wait_ratio", host, view.host.twr);
  exposition.add("tidewaiter_host_literal_port_pressure_ratio", host, view.host.ppr_literal);
  exposition.add("tidewaiter_host_literal_time_wait_ratio", host, view.host.twr_literal);
  exposition.add("tidewaiter_host_port_capacity", host, sample.plan.capacity());
  for (const auto& listener : sample.listeners) add_listener(exposition, sample.netns, listener);
  exposition.add("tidewaiter_observer_duration_seconds", host, std::chrono::duration<double>(sample.cost.wall).count());
  return exposition.text();
}

}  // namespace tidewaiter::output
