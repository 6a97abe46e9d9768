// SPDX-License-Identifier: Apache-2.0
#include "output/agent_metrics.h"

#include <algorithm>
#include <optional>

#include "output/agent_documents.h"
#include "output/census_metrics.h"
#include "output/connect_metrics.h"
#include "output/exposition.h"
#include "output/program_metrics.h"

namespace tidewaiter::output {
namespace {

using Labels = Exposition::Labels;

void add_state(Exposition& exposition, std::string_view metric, const Labels& labels, std::string_view state) {
  for (const char* candidate : {"GREEN", "YELLOW", "ORANGE", "RED", "STALE"}) {
    Labels with_state = labels;
    with_state.push_back({"state", candidate});
    exposition.add(metric, with_state, state == candidate ? 1 : 0);
  }
}

void add_decisions(Exposition& exposition, const AgentView& view, const SeriesLimit& series) {
  const std::string& netns = view.identity->netns;
  std::optional<double> other;
  control::Standing worst;
  bool has_other = false;
  for (const TupleView& tuple : view.census->tuples) {
    const control::TupleDecision* decided = view.round->find(tuple.sample->tuple);
    const control::Standing standing = decided == nullptr ? control::Standing{} : decided->decision.standing;
    std::optional<double> p_stress;
    if (decided != nullptr && decided->decision.stress) p_stress = decided->decision.stress->probability;
    if (series.has(tuple.sample->tuple)) {
      const Labels labels = labels_of(tuple.sample->tuple, netns);
      exposition.add("tidewaiter_stress_probability", labels, p_stress);
      add_state(exposition, "tidewaiter_state", labels, control::name(standing));
      continue;
    }
    has_other = true;
    if (p_stress) other = std::max(other.value_or(0), *p_stress);
    worst.state = std::max(worst.state, standing.state);
    worst.is_stale = worst.is_stale || standing.is_stale;
  }
  if (!has_other) return;
  exposition.add("tidewaiter_stress_probability", other_labels(netns), other);
  add_state(exposition, "tidewaiter_state", other_labels(netns), control::name(worst));
}

void add_parameters(Exposition& exposition, const char* kind, const control::Parameters& parameters) {
  const auto add = [&](const char* name, std::optional<double> value) {
    exposition.add("tidewaiter_parameter", {{"name", name}, {"kind", kind}}, value);
  };
  add("clip_scale", parameters.order.clip_scale);
  add("launch_jitter_max_ms", std::chrono::duration<double, std::milli>(parameters.order.launch_jitter_max).count());
  add("catch_up_cap", parameters.order.catch_up_cap);
  add("retry_rate_per_s", parameters.connection.retry_rate_per_s);
  add("retry_burst", parameters.connection.retry_burst);
  add("max_new_connects", static_cast<double>(parameters.connection.max_new_connects));
  add("connect_rate_per_s", parameters.connection.connect_rate_per_s);
}

void add_observer(Exposition& exposition, const AgentView& view, base::Instant now) {
  const Labels host{{"netns", view.identity->netns}};
  const ObserverFigures& observer = view.observer;
  const auto seconds = [](base::Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); };
  exposition.add("tidewaiter_observer_interval_seconds", host, seconds(observer.interval));
  exposition.add("tidewaiter_observer_windows_total", host, static_cast<double>(observer.windows));
  exposition.add("tidewaiter_observer_missed_windows_total", host, static_cast<double>(observer.missed_windows));
  exposition.add("tidewaiter_observer_last_window_age_seconds", host,
                 seconds(std::max(now - view.census->sample->at.steady, base::Nanoseconds(0))));
  for (const auto& [source, count] : observer.lost_events) {
    exposition.add("tidewaiter_observer_lost_events_total", {{"source", source}}, static_cast<double>(count));
  }
}

}  // namespace

std::string agent_metrics(const AgentView& view, const AgentCounters& counters, const SeriesLimit& series,
                          base::Instant now) {
  Exposition exposition;
  add_census(exposition, *view.census, series);
  add_connects(exposition, view, counters.durations, series);
  add_programs(exposition, view, series);
  add_sources(exposition, view);
  add_decisions(exposition, view, series);
  const control::HostDecision& host = view.round->host;
  add_state(exposition, "tidewaiter_host_state", {{"netns", view.identity->netns}},
            is_outdated(view, now) ? "STALE" : control::name(host.standing));
  for (const auto& [change, times] : counters.transitions) {
    exposition.add("tidewaiter_transitions_total",
                   {{"from", change.first},
                    {"to", change.second},
                    {"mode", is_enforced(view.policy->modes) ? "enforce" : "shadow"}},
                   static_cast<double>(times));
  }
  add_parameters(exposition, "detected", host.detected);
  add_parameters(exposition, "enforced", host.enforced);
  add_observer(exposition, view, now);
  exposition.add("tidewaiter_http_requests_total", {}, static_cast<double>(counters.http_requests));
  return exposition.text();
}

}  // namespace tidewaiter::output
