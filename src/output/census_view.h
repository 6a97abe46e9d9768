// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/outlook.h"
#include "telemetry/pressure.h"
#include "telemetry/rates.h"
#include "telemetry/sample.h"

namespace tidewaiter::output {

/// One tuple as every view shows it. Points into the sample that the view was made from.
struct TupleView {
  const telemetry::TupleSample* sample = nullptr;
  model::Outlook outlook;
};

/// A census, ready to be written as a document, a table or metrics. Must not outlive its sample.
struct CensusView {
  const telemetry::Sample* sample = nullptr;
  telemetry::HostPressure host;
  std::vector<TupleView> tuples;  ///< by pressure, highest first; then destination, port, source
};

/// Which tuples a view shows; the host's figures are always over all.
struct TupleFilter {
  std::optional<telemetry::Address> destination;
  std::optional<std::uint16_t> destination_port;

  [[nodiscard]] bool accepts(const telemetry::Tuple& tuple) const {
    return (!destination || tuple.destination == *destination) &&
           (!destination_port || tuple.destination_port == *destination_port);
  }
};

/// "10.0.0.7", "10.0.0.7:9000", "::1", "[::1]:9000", ":9000", or nothing. Errors: kInvalidArgument.
[[nodiscard]] base::Result<TupleFilter> parse_tuple_filter(const std::string& text);

/// `demand`: what earlier looks at the same namespace showed, or null; with it demand and forecasts are known.
[[nodiscard]] CensusView view_of(const telemetry::Sample& sample, const telemetry::DemandTracker* demand,
                                 const model::OutlookOptions& options, const TupleFilter& filter = {});

}  // namespace tidewaiter::output
