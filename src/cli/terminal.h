// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>

#include "output/style.h"

namespace tidewaiter::cli {

/// Colours, characters and size of the terminal behind `stream`; plain and 80 wide when it is none. Call setlocale()
/// before.
[[nodiscard]] output::Style style_of_terminal(bool ascii, std::FILE* stream);

}  // namespace tidewaiter::cli
