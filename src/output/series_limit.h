// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <set>

#include "output/census_view.h"
#include "telemetry/connect_tracker.h"
#include "telemetry/sample.h"

namespace tidewaiter::output {

/// Which tuples have time series of their own. A tuple that got one keeps it, whatever its rank becomes: a series that
/// changes what it is about cannot be read. Later ones go to dst="other".
class SeriesLimit {
 public:
  explicit SeriesLimit(std::size_t max_tuples = 64) : max_tuples_(max_tuples) {}

  /// Gives series to the tuples of a view, by pressure, then to those that are known by their connects alone (null: not
  /// seen), while there is room. Whoever gets none while others do has none for good: what its connects counted in
  /// dst="other" stays there.
  void admit(const CensusView& view, const telemetry::Connects* connects = nullptr) {
    for (const TupleView& tuple : view.tuples) {
      if (admitted_.size() >= max_tuples_) return;
      admitted_.insert(tuple.sample->tuple);
    }
    if (connects == nullptr) return;
    for (const auto& [tuple, counts] : connects->tuples) {
      if (admitted_.size() >= max_tuples_) return;
      admitted_.insert(tuple);
    }
  }
  [[nodiscard]] bool has(const telemetry::Tuple& tuple) const { return admitted_.count(tuple) != 0; }

 private:
  std::size_t max_tuples_;
  std::set<telemetry::Tuple> admitted_;
};

}  // namespace tidewaiter::output
