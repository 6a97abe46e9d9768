// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <sys/types.h>
#include <thread>
#include <vector>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"
#include "lab/child_process.h"
#include "lab/network.h"

namespace tidewaiter::lab {

struct ChildOptions {
  std::vector<std::string> command;                ///< path of the program, then its arguments
  std::map<std::string, std::string> environment;  ///< beside the lab's own
};

/// A line that a child wrote, without its end, and when it came.
struct OutputLine {
  base::Instant at;
  std::string text;
};

/// A program in a network namespace, its streams taken line by line. It dies with the thread that started it, and
/// carries kOwnerVariable so that a survivor can be found. Standard input is empty.
/// Threads: start() and the destructor on one thread, which outlives the child; the rest from any.
class ChildProgram {
 public:
  /// Errors: what kept the program from starting (kNotFound, kNotPermitted).
  [[nodiscard]] static base::Result<std::unique_ptr<ChildProgram>> start(const ChildOptions& options,
                                                                         const Network& network);
  ChildProgram(const ChildProgram&) = delete;
  ChildProgram& operator=(const ChildProgram&) = delete;
  ~ChildProgram();

  [[nodiscard]] pid_t pid() const { return process_->pid(); }

  /// The next line of standard output; absent when none came by `deadline`, or standard output ended.
  [[nodiscard]] std::optional<OutputLine> next_line(base::Instant deadline);

  /// Standard error so far.
  [[nodiscard]] std::string error_text() const;

  [[nodiscard]] base::Result<void> send_signal(int signal) { return process_->send_signal(signal); }

  /// Absent when it still runs at `deadline`.
  [[nodiscard]] std::optional<ExitStatus> wait_exit(base::Instant deadline) { return process_->wait_exit(deadline); }

 private:
  ChildProgram() = default;
  void read_streams();
  void take_output(std::string& pending);

  std::unique_ptr<ChildProcess> process_;
  base::FileDescriptor output_;
  base::FileDescriptor errors_;
  base::FileDescriptor stop_reading_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<OutputLine> lines_;
  std::string error_text_;
  bool has_ended_ = false;
  std::thread reader_;
};

/// The path of the running program.
[[nodiscard]] base::Result<std::string> own_program();

}  // namespace tidewaiter::lab
