// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/agent_socket.h"
#include "board/attachment.h"
#include "board/tests/record_samples.h"

namespace tidewaiter::board {

/// A directory of its own that other users may enter.
class Directory {
 public:
  Directory() : path_(std::filesystem::temp_directory_path() / "tidewaiter-board-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr || chmod(path_.c_str(), 0755) != 0) std::abort();
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  [[nodiscard]] std::string socket() const { return path_ + "/agent.sock"; }

 private:
  std::string path_;
};

/// What `work` returns in a child process.
template <class Work>
int in_child(Work work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace tidewaiter::board
