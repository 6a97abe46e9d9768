// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace tidewaiter::lab {

/// Where cgroup v2 is mounted, alone or beside v1. Absent: nowhere.
[[nodiscard]] std::optional<std::filesystem::path> cgroup_root();

/// A cgroup (v2) of the lab's own, right below the root, and what BPF does to the connects of the processes in it.
/// Programs end and the cgroup is removed with this object, which outlives the processes. Move-only.
class Cgroup {
 public:
  /// Errors: kUnavailable without cgroup v2; kNotPermitted.
  [[nodiscard]] static base::Result<Cgroup> create();
  Cgroup(Cgroup&& other) noexcept
      : path_(std::exchange(other.path_, {})),
        directory_(std::move(other.directory_)),
        links_(std::move(other.links_)) {}
  Cgroup& operator=(Cgroup&&) = delete;
  ~Cgroup();

  /// Every IPv4 connect() fails with EPERM.
  [[nodiscard]] base::Result<void> deny_connects();

  /// A SYN is repeated for the first time after `jiffies`, not after a second.
  [[nodiscard]] base::Result<void> set_syn_timeout(std::uint32_t jiffies);

  /// To be written "0" to by a process that enters.
  [[nodiscard]] std::string entrance() const { return path_ / "cgroup.procs"; }

 private:
  explicit Cgroup(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  base::FileDescriptor directory_;
  std::vector<base::FileDescriptor> links_;
};

/// Moves the calling process. False with errno when it may not.
[[nodiscard]] bool enter_cgroup(const std::string& entrance);

}  // namespace tidewaiter::lab
