// SPDX-License-Identifier: Apache-2.0
#include "kernel/testing/private_cgroup.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/bpf_program.h"

namespace tidewaiter::kernel::testing {
namespace {

std::string path_of(const base::FileDescriptor& directory) {
  char path[4096];
  const ssize_t length = ::readlink(fmt::format("/proc/self/fd/{}", directory.get()).c_str(), path, sizeof path);
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : std::string();
}

/// The cgroup of this process, below the root of the hierarchy.
std::string own_cgroup() {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("0::", 0) == 0) return line.substr(3);
  }
  return "/";
}

base::Result<void> move_to(const std::string& cgroup) {
  const base::FileDescriptor file(::open((cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.is_open() || ::write(file.get(), "0", 1) != 1) return base::fail_errno(errno, "enter " + cgroup);
  return {};
}

}  // namespace

base::Result<PrivateCgroup> PrivateCgroup::create() {
  static std::atomic<unsigned> number{0};
  const auto root = open_cgroup_root();
  if (!root) return tl::unexpected(root.error());
  const std::string top = path_of(*root);
  std::string path = fmt::format("{}/tidewaiter-test-{}-{}", top, ::getpid(), number++);
  if (::mkdir(path.c_str(), 0700) != 0) return base::fail_errno(errno, "make " + path);
  PrivateCgroup cgroup(std::move(path), top + own_cgroup());
  if (auto moved = move_to(cgroup.path_); !moved) return tl::unexpected(moved.error());
  return cgroup;
}

PrivateCgroup::PrivateCgroup(PrivateCgroup&& other) noexcept
    : path_(std::exchange(other.path_, {})), home_(std::move(other.home_)) {}

PrivateCgroup::~PrivateCgroup() { remove(); }

base::FileDescriptor PrivateCgroup::open() const {
  return base::FileDescriptor(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

void PrivateCgroup::remove() {
  if (path_.empty()) return;
  if (!move_to(home_) || ::rmdir(path_.c_str()) != 0) {
    std::perror("cannot leave the private cgroup");
    std::abort();
  }
  path_.clear();
}

}  // namespace tidewaiter::kernel::testing
