// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "output/census_view.h"
#include "output/style.h"

namespace tidewaiter::output {

/// Something a person should know at once, worst first; nothing when all is well.
struct Headline {
  Tone tone = Tone::kPlain;
  std::string text;
};

/// What is wrong, if anything: no port at all, exhausted or nearly, past the cliff, a listener that drops.
[[nodiscard]] std::vector<Headline> headlines_of(const CensusView& view);

struct CensusTableOptions {
  std::size_t tuples = 12;     ///< rows at most; the rest is counted
  std::size_t listeners = 10;  ///< rows at most; the rest is counted
};

/// The census for a terminal: verdict, tuples by pressure (parity bars, what is released in the next 60 s), listeners,
/// cost. At most `style.columns` wide, 80 at least.
[[nodiscard]] std::string census_table(const CensusView& view, const Style& style,
                                       const CensusTableOptions& options = {});

/// The same, with as many rows of tuples and listeners as fit on a screen of `lines` lines; one of each at least.
[[nodiscard]] std::string census_screen(const CensusView& view, const Style& style, int lines,
                                        CensusTableOptions options = {});

}  // namespace tidewaiter::output
