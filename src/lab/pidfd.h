// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/file_descriptor.h"

/// Processes by descriptor. glibc 2.36 declares these without C linkage: <sys/pidfd.h> is of no use here.
namespace tidewaiter::lab {

/// Not open when there is no such process (errno).
[[nodiscard]] inline base::FileDescriptor open_process(pid_t pid) {
  return base::FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

/// 0, or −1 with errno.
inline int signal_process(const base::FileDescriptor& process, int signal) {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0));
}

}  // namespace tidewaiter::lab
