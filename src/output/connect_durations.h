// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

#include "output/series_limit.h"
#include "telemetry/connect_tracker.h"
#include "telemetry/latency_counts.h"

namespace tidewaiter::output {

/// Upper ends of the buckets of a histogram in /metrics, as powers of two of nanoseconds: there telemetry's finer
/// buckets end as well, so that no count is split. A duration of exactly that many nanoseconds belongs to the next
/// bucket.
using BucketEdges = std::array<int, 16>;

/// 16 µs to 69 s, finest where handshakes on networks lie.
inline constexpr BucketEdges kConnectEdges{14, 16, 18, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 32, 34, 36};

/// 1 µs to 34 ms: an easy search takes some of the first, one past the cliff or in vain some of the last.
inline constexpr BucketEdges kSearchEdges{10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25};

/// Durations since the agent began, in the buckets of /metrics; the last bucket has no upper end.
struct DurationCounts {
  std::array<std::uint64_t, BucketEdges{}.size() + 1> buckets{};

  void add(const telemetry::LatencyCounts& durations, const BucketEdges& edges);
  friend bool operator==(const DurationCounts&, const DurationCounts&) = default;
};

/// The histograms of one time series.
struct ConnectHistograms {
  DurationCounts connect;  ///< start to established
  DurationCounts search;   ///< port searches
  friend bool operator==(const ConnectHistograms&, const ConnectHistograms&) = default;
};

/// The histograms of all time series. A source counts each bucket in 32 bits, which a busy agent fills within weeks:
/// here they are added up window by window, so that no series ever falls. Thread: the caller's.
class ConnectDurations {
 public:
  /// Takes in what came between two windows. `before`: of the window before, null for the first.
  void note(const telemetry::Connects& now, const telemetry::Connects* before, const SeriesLimit& series);

  /// Of a tuple with a series of its own; nothing yet is zeros.
  [[nodiscard]] ConnectHistograms of(const telemetry::Tuple& tuple) const;

  /// Of all the others.
  [[nodiscard]] const ConnectHistograms& of_others() const { return others_; }

 private:
  std::map<telemetry::Tuple, ConnectHistograms> tuples_;
  ConnectHistograms others_;
};

}  // namespace tidewaiter::output
