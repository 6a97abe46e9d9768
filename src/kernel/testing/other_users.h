// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

namespace tidewaiter::kernel::testing {

/// False where / itself is closed to them, as in some chroots: then they cannot even read /proc.
[[nodiscard]] inline bool can_others_enter_root() {
  struct stat status {};
  return stat("/", &status) == 0 && (status.st_mode & S_IXOTH) != 0;
}

}  // namespace tidewaiter::kernel::testing
