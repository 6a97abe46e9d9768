// SPDX-License-Identifier: Apache-2.0
#include "kernel/network_namespace.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

namespace tidewaiter::kernel {
namespace {

constexpr const char* kNamedNamespaces = "/run/netns";

std::string existing_names() {
  std::string names;
  if (DIR* directory = opendir(kNamedNamespaces)) {
    while (const dirent* entry = readdir(directory)) {
      if (entry->d_name[0] == '.') continue;
      names += (names.empty() ? "" : ", ") + std::string(entry->d_name);
    }
    closedir(directory);
  }
  return names;
}

std::string hint_for_names() {
  const std::string names = existing_names();
  return names.empty()
             ? "no named network namespace exists here; use 'self', a name of `ip netns list`, or a path such as "
               "/proc/PID/ns/net"
             : fmt::format("named network namespaces here: {}; or use 'self' or a path such as /proc/PID/ns/net",
                           names);
}

bool is_same_file(int descriptor, const std::string& path) {
  struct stat held {};
  struct stat named {};
  return fstat(descriptor, &held) == 0 && stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
         held.st_dev == named.st_dev;
}

}  // namespace

base::Result<NetworkNamespace> NetworkNamespace::open(std::string_view name_or_path) {
  NetworkNamespace result;
  if (name_or_path == "self") return result;
  if (name_or_path.empty() || name_or_path == "." || name_or_path == "..") {
    return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("'{}' is not a network namespace", name_or_path),
                      hint_for_names());
  }
  const bool is_path = name_or_path.find('/') != std::string_view::npos;
  result.label_ = name_or_path;
  result.path_ = is_path ? result.label_ : fmt::format("{}/{}", kNamedNamespaces, name_or_path);
  result.target_ = base::FileDescriptor(::open(result.path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!result.target_.is_open()) {
    const int error = errno;
    auto failure = base::fail_errno(error, fmt::format("network namespace '{}'", name_or_path));
    failure.value().hint = failure.value().code == base::ErrorCode::kNotPermitted ? "run as root, or with CAP_SYS_ADMIN"
                                                                                  : hint_for_names();
    return failure;
  }
  if (ioctl(result.target_.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("'{}' is not a network namespace", name_or_path),
                      hint_for_names());
  }
  return result;
}

bool NetworkNamespace::is_still_there() const { return is_self() || is_same_file(target_.get(), path_); }

base::Result<std::uint64_t> NetworkNamespace::inode() const {
  struct stat status {};
  const int failed = is_self() ? stat("/proc/thread-self/ns/net", &status) : fstat(target_.get(), &status);
  if (failed != 0) return base::fail_errno(errno, fmt::format("network namespace '{}'", label_));
  return status.st_ino;
}

base::Result<base::FileDescriptor> NetworkNamespace::enter() const {
  base::FileDescriptor home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home.is_open()) return base::fail_errno(errno, "open the own network namespace");
  if (setns(target_.get(), CLONE_NEWNET) != 0) {
    auto failure = base::fail_errno(errno, fmt::format("enter network namespace '{}'", label_));
    failure.value().hint = "entering another network namespace needs root, or CAP_SYS_ADMIN";
    return failure;
  }
  return home;
}

NetworkNamespace::Return::~Return() {
  if (setns(home.get(), CLONE_NEWNET) == 0) return;
  // Going on would attribute every later number to the wrong namespace.
  std::perror("tidewaiter: cannot return to the own network namespace");
  std::abort();
}

}  // namespace tidewaiter::kernel
