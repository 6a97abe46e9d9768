// SPDX-License-Identifier: Apache-2.0
#include "output/census_metrics.h"

#include <limits>
#include <optional>

namespace tidewaiter::output {
namespace {

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

void add_tuple(Exposition& exposition, const Exposition::Labels& labels, const TupleValues& values) {
  exposition.add("tidewaiter_port_pressure_ratio", labels, values.ppr);
  exposition.add("tidewaiter_preferred_parity_ratio", labels, values.ppr_preferred);
  exposition.add("tidewaiter_time_wait_ratio", labels, values.twr);
  exposition.add("tidewaiter_free_ports", labels, values.free);
  exposition.add("tidewaiter_time_to_cliff_seconds", labels, values.time_to_cliff_s);
  exposition.add("tidewaiter_time_to_exhaustion_seconds", labels, values.time_to_exhaustion_s);
}

void add_listener(Exposition& exposition, const std::string& netns, const telemetry::ListenerSample& listener) {
  const Exposition::Labels labels{
      {"netns", netns}, {"addr", listener.address.to_string()}, {"port", std::to_string(listener.port)}};
  exposition.add("tidewaiter_listener_accept_queue", labels, listener.accept_queue);
  exposition.add("tidewaiter_listener_accept_limit", labels, listener.accept_limit);
  exposition.add("tidewaiter_listener_half_open", labels, listener.half_open);
  exposition.add("tidewaiter_listener_drops_total", labels, listener.drops);
}

}  // namespace

Exposition::Labels labels_of(const telemetry::Tuple& tuple, const std::string& netns) {
  return {{"netns", netns},
          {"src", tuple.source.to_string()},
          {"dst", tuple.destination.to_string()},
          {"dport", std::to_string(tuple.destination_port)}};
}

Exposition::Labels other_labels(const std::string& netns) {
  return {{"netns", netns}, {"src", "other"}, {"dst", "other"}, {"dport", "other"}};
}

void add_census(Exposition& exposition, const CensusView& view, const SeriesLimit& series) {
  const telemetry::Sample& sample = *view.sample;
  TupleValues other;
  for (const TupleView& tuple : view.tuples) {
    if (series.has(tuple.sample->tuple)) {
      add_tuple(exposition, labels_of(tuple.sample->tuple, sample.netns), values_of(tuple));
    } else {
      keep_worst(other, values_of(tuple));
    }
  }
  add_tuple(exposition, other_labels(sample.netns), other);
  const Exposition::Labels host{{"netns", sample.netns}};
  exposition.add("tidewaiter_host_port_pressure_ratio", host, view.host.ppr);
  exposition.add("tidewaiter_host_time_wait_ratio", host, view.host.twr);
  exposition.add("tidewaiter_host_literal_port_pressure_ratio", host, view.host.ppr_literal);
  exposition.add("tidewaiter_host_literal_time_wait_ratio", host, view.host.twr_literal);
  exposition.add("tidewaiter_host_port_capacity", host, sample.plan.capacity());
  for (const auto& listener : sample.listeners) add_listener(exposition, sample.netns, listener);
  exposition.add("tidewaiter_observer_duration_seconds", host, std::chrono::duration<double>(sample.cost.wall).count());
}

std::string census_metrics(const CensusView& view, const SeriesLimit& series) {
  Exposition exposition;
  add_census(exposition, view, series);
  return exposition.text();
}

}  // namespace tidewaiter::output
