// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <prometheus/client_metric.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidewaiter::output {

/// A histogram as it is shown: how many were at most that many seconds, by ascending upper ends, how many in all, and
/// their sum in seconds.
struct HistogramSample {
  std::vector<std::pair<double, std::uint64_t>> cumulative;
  std::uint64_t count = 0;
  double sum = 0;
};

/// Samples on their way to the Prometheus text format: families by declaration, in the order of the table of metrics;
/// only those with samples are written.
class Exposition {
 public:
  using Labels = std::vector<prometheus::ClientMetric::Label>;

  /// A sample of a declared metric; nothing when the value is not known.
  void add(std::string_view name, const Labels& labels, std::optional<double> value);
  void add(std::string_view name, const Labels& labels, const HistogramSample& histogram);

  [[nodiscard]] std::string text() const;

 private:
  std::map<std::size_t, std::vector<prometheus::ClientMetric>> samples_;  ///< by place in the table
};

}  // namespace tidewaiter::output
