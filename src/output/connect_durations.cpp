// SPDX-License-Identifier: Apache-2.0
#include "output/connect_durations.h"

#include <algorithm>

namespace tidewaiter::output {
namespace {

void add(const telemetry::ConnectTotals& now, const telemetry::ConnectTotals& before, ConnectHistograms& histograms) {
  if (now.connect != before.connect) histograms.connect.add(now.connect - before.connect, kConnectEdges);
  if (now.search != before.search) histograms.search.add(now.search - before.search, kSearchEdges);
}

}  // namespace

void DurationCounts::add(const telemetry::LatencyCounts& durations, const BucketEdges& edges) {
  std::size_t place = 0;
  for (std::size_t i = 0; i < telemetry::LatencyCounts::kBuckets; ++i) {
    while (place < edges.size() && telemetry::LatencyCounts::lower(i) >= base::Nanoseconds(1LL << edges.at(place))) {
      ++place;
    }
    buckets.at(place) += durations.counts()[i];
  }
}

void ConnectDurations::note(const telemetry::Connects& now, const telemetry::Connects* before,
                            const SeriesLimit& series) {
  const telemetry::ConnectTotals nothing;
  for (const auto& [tuple, connects] : now.tuples) {
    const telemetry::TupleConnects* const earlier = before == nullptr ? nullptr : before->find(tuple);
    add(connects.totals, earlier == nullptr ? nothing : earlier->totals, series.has(tuple) ? tuples_[tuple] : others_);
  }
  if (now.other) add(*now.other, before != nullptr && before->other ? *before->other : nothing, others_);
}

ConnectHistograms ConnectDurations::of(const telemetry::Tuple& tuple) const {
  const auto found = tuples_.find(tuple);
  return found == tuples_.end() ? ConnectHistograms{} : found->second;
}

}  // namespace tidewaiter::output
