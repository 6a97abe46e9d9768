// SPDX-License-Identifier: Apache-2.0
#include "board/process_identity.h"

#include <fstream>
#include <sys/stat.h>

namespace tidewaiter::board {

ProcessIdentity own_identity() {
  ProcessIdentity identity;
  struct stat status {};
  if (stat("/proc/self/ns/time", &status) == 0) identity.time_namespace = status.st_ino;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), identity.boot_id);
  return identity;
}

}  // namespace tidewaiter::board
