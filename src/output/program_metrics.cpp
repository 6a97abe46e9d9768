// SPDX-License-Identifier: Apache-2.0
#include "output/program_metrics.h"

#include <array>
#include <cmath>
#include <cstdint>

#include "output/census_metrics.h"

namespace tidewaiter::output {
namespace {

/// Upper ends of the buckets, as powers of two of nanoseconds: 1 µs to 69 s.
constexpr std::array<std::size_t, 18> kEdges{10, 12, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28, 30, 33, 36};

HistogramSample sample_of(const telemetry::PowerCounts& counts) {
  HistogramSample sample;
  for (const std::size_t power : kEdges) {
    sample.cumulative.emplace_back(std::ldexp(1e-9, static_cast<int>(power)), counts.below(power));
  }
  sample.count = counts.count();
  sample.sum = std::chrono::duration<double>(counts.sum()).count();
  return sample;
}

}  // namespace

void add_programs(Exposition& exposition, const AgentView& view, const SeriesLimit& series) {
  if (view.host == nullptr || !view.host->programs || view.host->programs->events == 0) return;
  const telemetry::Programs& programs = *view.host->programs;
  const std::string& netns = view.identity->netns;
  telemetry::PowerCounts other_delays;
  std::uint64_t other_waiting = 0;
  bool has_other = false;
  for (const auto& [tuple, told] : programs.tuples) {
    if (series.has(tuple)) {
      const Exposition::Labels labels = labels_of(tuple, netns);
      exposition.add("tidewaiter_decision_to_send_seconds", labels, sample_of(told.send_delays));
      exposition.add("tidewaiter_retry_queue_depth", labels, static_cast<double>(told.retries_waiting));
      continue;
    }
    has_other = true;
    other_delays.add(told.send_delays);
    other_waiting += told.retries_waiting;
  }
  if (has_other) {
    exposition.add("tidewaiter_decision_to_send_seconds", other_labels(netns), sample_of(other_delays));
    exposition.add("tidewaiter_retry_queue_depth", other_labels(netns), static_cast<double>(other_waiting));
  }
  exposition.add("tidewaiter_launch_error_seconds", {{"netns", netns}}, sample_of(programs.launch_errors));
  exposition.add("tidewaiter_send_clumping_index", {{"netns", netns}, {"width", "20ms"}},
                 programs.cadence.clumping_20ms);
  exposition.add("tidewaiter_send_clumping_index", {{"netns", netns}, {"width", "100ms"}},
                 programs.cadence.clumping_100ms);
}

}  // namespace tidewaiter::output
