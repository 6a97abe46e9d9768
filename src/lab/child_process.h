// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"
#include "lab/network.h"

namespace tidewaiter::lab {

/// How a child ended.
struct ExitStatus {
  int code = 0;    ///< of exit(); 0 when a signal ended it
  int signal = 0;  ///< 0 when it ended by itself
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

/// A process that was forked from this one and leads a process group of its own. Ends with its object. Threads: the
/// thread that forked it outlives it; the methods are for one at a time.
class ChildProcess {
 public:
  explicit ChildProcess(pid_t pid);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();  ///< SIGKILL if it still runs, to its process group

  [[nodiscard]] pid_t pid() const { return pid_; }

  [[nodiscard]] base::Result<void> send_signal(int signal);

  /// Absent when it still runs at `deadline`.
  [[nodiscard]] std::optional<ExitStatus> wait_exit(base::Instant deadline);

 private:
  pid_t pid_;
  base::FileDescriptor process_;
  std::optional<ExitStatus> exit_;
};

/// What a forked child begins with: it dies with the thread that forked it, leads its process group, and blocks no
/// signal. Safe after a fork of a threaded process. Ends the child when `parent` has gone already.
void begin_child(pid_t parent);

/// Forks a process inside `network` that runs `work` and ends, for what needs a process of its own: an id, a cgroup, a
/// death by signal. It holds no descriptor of the lab but the standard streams. `work` has one thread, should get along
/// with system calls and what it brought, and tells its results through shared memory (OutcomeCounts).
[[nodiscard]] base::Result<std::unique_ptr<ChildProcess>> fork_inside(const Network& network,
                                                                      const std::function<void()>& work);

}  // namespace tidewaiter::lab
