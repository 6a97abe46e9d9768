// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "output/documents.h"
#include "output/screen.h"
#include "output/style.h"

namespace tidewaiter::output {

/// What comes first in a table of tuples.
enum class TupleOrder : std::uint8_t {
  kPressure,    ///< the worst state, then ports in use
  kFailures,    ///< connects that failed lately, then ever
  kPortSearch,  ///< p95 of the port search
};

/// What a table of tuples shows beside state and destination.
enum class TupleColumns : std::uint8_t {
  kPorts,
  kConnects,
  kBoth,  ///< needs kWideColumns
};
inline constexpr int kWideColumns = 120;

/// The tuples of a `tidewaiter.status/1`, of any shape.
[[nodiscard]] std::vector<const Document*> tuples_in_order(const Document& status, TupleOrder order);

/// Names a tuple among those of a status.
[[nodiscard]] std::string identity_of(const Document& tuple);

/// True where a source sees the connects of a tuple.
[[nodiscard]] bool has_connects(const Document& tuple);

/// Connects of a tuple that failed since the source began; those given up early by the application did not.
[[nodiscard]] double failures_of(const Document& tuple);

[[nodiscard]] Line tuple_header(const Document& status, TupleColumns columns, const Style& style);
[[nodiscard]] Line tuple_line(const Document& tuple, TupleColumns columns, bool is_selected, const Style& style);

}  // namespace tidewaiter::output
