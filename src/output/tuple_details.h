// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "output/documents.h"
#include "output/screen.h"
#include "output/style.h"

namespace tidewaiter::output {

/// What is known of the connects of one tuple of a `tidewaiter.status/1`: how they ended, how long they took, how
/// bunched retries are, and the processes that had trouble with it, at most `max_processes` of them.
[[nodiscard]] std::vector<Line> tuple_details(const Document& status, const Document& tuple, std::size_t max_processes,
                                              const Style& style);

}  // namespace tidewaiter::output
