// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace tidewaiter::kernel {

/// One source of numbers: whether it is attached, and what it would need.
struct SourceRow {
  std::string name;
  int tier = 0;
  bool is_active = false;
  std::string needs;  ///< empty when it is active
};

using SourceTable = std::vector<SourceRow>;

}  // namespace tidewaiter::kernel
