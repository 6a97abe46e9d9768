// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace tidewaiter::agent {

/// The directory of one agent, held by a lock for as long as this lives: journal, socket, address.
class StateDirectory {
 public:
  /// Makes the directory where it is missing (mode 0755) and takes its lock.
  /// Errors: kUnavailable when another agent has it; kNotPermitted when it cannot be written; each names the fix.
  [[nodiscard]] static base::Result<StateDirectory> open(const std::string& path);

  StateDirectory(StateDirectory&&) = default;
  StateDirectory& operator=(StateDirectory&&) = delete;
  ~StateDirectory();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string journal() const { return path_ + "/journal.sqlite3"; }
  [[nodiscard]] std::string socket() const { return path_ + "/agent.sock"; }
  [[nodiscard]] std::string events_socket() const { return path_ + "/events.sock"; }

  /// Tells where the agent listens, in the file `address`; gone again when the agent ends. Replaced in one step.
  [[nodiscard]] base::Result<void> write_address(const std::string& address);

 private:
  StateDirectory(std::string path, base::FileDescriptor lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  base::FileDescriptor lock_;
  bool has_address_ = false;
};

/// /var/lib/tidewaiter for root, else $XDG_STATE_HOME/tidewaiter, else ~/.local/state/tidewaiter.
[[nodiscard]] std::string default_state_directory();

/// "default-" and 8 hexadecimal digits of a hash of the directory's real path.
[[nodiscard]] std::string default_instance(const std::string& state_directory);

/// What `address` in a state directory says: where its agent listens. Errors: kUnavailable when there is none.
[[nodiscard]] base::Result<std::string> read_address(const std::string& state_directory);

}  // namespace tidewaiter::agent
