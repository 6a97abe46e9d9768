// SPDX-License-Identifier: Apache-2.0
#include "output/exposition.h"

#include <algorithm>
#include <cassert>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <utility>

#include "output/metrics.h"

namespace tidewaiter::output {

void Exposition::add(std::string_view name, const Labels& labels, std::optional<double> value) {
  if (!value) return;
  const auto declarations = metric_declarations();
  const auto declaration = std::find_if(declarations.begin(), declarations.end(),
                                        [&](const MetricDeclaration& candidate) { return candidate.name == name; });
  assert(declaration != declarations.end() && "a metric that is not declared");
  prometheus::ClientMetric metric;
  metric.label = labels;
  if (declaration->kind == MetricKind::kCounter) {
    metric.counter.value = *value;
  } else {
    metric.gauge.value = *value;
  }
  samples_[static_cast<std::size_t>(declaration - declarations.begin())].push_back(std::move(metric));
}

std::string Exposition::text() const {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& [place, samples] : samples_) {
    const MetricDeclaration& declaration = metric_declarations()[place];
    const auto kind =
        declaration.kind == MetricKind::kCounter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
    families.push_back({std::string(declaration.name), std::string(declaration.help), kind, samples});
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace tidewaiter::output
