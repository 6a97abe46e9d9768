// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tidewaiter::board {

/// What two processes must have in common to compare their monotonic clocks.
struct ProcessIdentity {
  std::uint64_t time_namespace = 0;  ///< inode; 0 where the kernel has no time namespaces
  std::string boot_id;

  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

/// Of the calling process. Fields that /proc does not tell stay empty.
[[nodiscard]] ProcessIdentity own_identity();

}  // namespace tidewaiter::board
