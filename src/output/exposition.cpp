// SPDX-License-Identifier: Apache-2.0
#include "output/exposition.h"

#include <algorithm>
#include <cassert>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <utility>

#include "output/metrics.h"

namespace tidewaiter::output {

namespace {

std::size_t place_of(std::string_view name) {
  const auto declarations = metric_declarations();
  const auto declaration = std::find_if(declarations.begin(), declarations.end(),
                                        [&](const MetricDeclaration& candidate) { return candidate.name == name; });
  assert(declaration != declarations.end() && "a metric that is not declared");
  return static_cast<std::size_t>(declaration - declarations.begin());
}

prometheus::MetricType type_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricKind::kCounter:
      return prometheus::MetricType::Counter;
    case MetricKind::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

}  // namespace

void Exposition::add(std::string_view name, const Labels& labels, std::optional<double> value) {
  if (!value) return;
  const std::size_t place = place_of(name);
  const MetricKind kind = metric_declarations()[place].kind;
  assert(kind != MetricKind::kHistogram && "a number is no histogram");
  prometheus::ClientMetric metric;
  metric.label = labels;
  (kind == MetricKind::kCounter ? metric.counter.value : metric.gauge.value) = *value;
  samples_[place].push_back(std::move(metric));
}

void Exposition::add(std::string_view name, const Labels& labels, const HistogramSample& histogram) {
  const std::size_t place = place_of(name);
  assert(metric_declarations()[place].kind == MetricKind::kHistogram && "declared as something else");
  prometheus::ClientMetric metric;
  metric.label = labels;
  metric.histogram.sample_count = histogram.count;
  metric.histogram.sample_sum = histogram.sum;
  for (const auto& [upper, count] : histogram.cumulative) metric.histogram.bucket.push_back({count, upper});
  samples_[place].push_back(std::move(metric));
}

std::string Exposition::text() const {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& [place, samples] : samples_) {
    const MetricDeclaration& declaration = metric_declarations()[place];
    families.push_back(
        {std::string(declaration.name), std::string(declaration.help), type_of(declaration.kind), samples});
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace tidewaiter::output
