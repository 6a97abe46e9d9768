// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace tidewaiter::kernel::testing {

/// The process inside a cgroup (v2) of its own, for as long as this lives: programs attached there meet nobody else's
/// sockets. Needs root (skip the test otherwise).
class PrivateCgroup {
 public:
  [[nodiscard]] static base::Result<PrivateCgroup> create();
  PrivateCgroup(PrivateCgroup&& other) noexcept;
  PrivateCgroup& operator=(PrivateCgroup&&) = delete;
  ~PrivateCgroup();

  [[nodiscard]] const std::string& path() const { return path_; }

  /// Its directory, for attaching programs.
  [[nodiscard]] base::FileDescriptor open() const;

  /// The process goes back, and the cgroup with its programs is removed; its directory stays in who holds it open.
  void remove();

 private:
  PrivateCgroup(std::string path, std::string home) : path_(std::move(path)), home_(std::move(home)) {}

  std::string path_;  ///< empty: removed
  std::string home_;  ///< where the process was before
};

}  // namespace tidewaiter::kernel::testing
