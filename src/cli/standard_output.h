// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/result.h"

namespace tidewaiter::cli {

/// Writes all of `text` to standard output, now. Errors: what the system said: a full disk must not look like success.
[[nodiscard]] base::Result<void> write_standard_output(std::string_view text);

}  // namespace tidewaiter::cli
