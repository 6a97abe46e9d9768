// SPDX-License-Identifier: Apache-2.0
#include "kernel/errno_window.h"

#include <array>
#include <bpf/libbpf.h>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tidewaiter::kernel {
namespace {

/// A tracefs of one's own, mounted nowhere: it goes with the descriptor.
base::Result<base::FileDescriptor> mount_tracefs() {
  const base::FileDescriptor context(::fsopen("tracefs", FSOPEN_CLOEXEC));
  if (!context.is_open()) return base::fail_errno(errno, "mount tracefs");
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return base::fail_errno(errno, "mount tracefs");
  }
  base::FileDescriptor root(::fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  if (!root.is_open()) return base::fail_errno(errno, "mount tracefs");
  return root;
}

/// Absent: not there, or not to be read.
std::optional<std::uint64_t> read_number(int directory, const std::string& path) {
  const base::FileDescriptor file(::openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 32> text{};
  const ssize_t length = file.is_open() ? ::read(file.get(), text.data(), text.size()) : -1;
  if (length <= 0) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + length, number);
  if (error != std::errc{}) return std::nullopt;
  return number;
}

}  // namespace

base::Result<std::uint64_t> tracepoint_number(const std::string& name, const std::string& trace_files) {
  const std::string file = fmt::format("events/{}/id", name);
  if (!trace_files.empty()) {
    if (const auto number = read_number(AT_FDCWD, trace_files + "/" + file)) return *number;
    return base::fail(base::ErrorCode::kUnavailable, fmt::format("{} in {}", name, trace_files));
  }
  for (const char* place : {"/sys/kernel/tracing/", "/sys/kernel/debug/tracing/"}) {
    if (const auto number = read_number(AT_FDCWD, place + file)) return *number;
  }
  const auto root = mount_tracefs();
  if (!root && root.error().code == base::ErrorCode::kNotPermitted) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "tracefs at /sys/kernel/tracing that it may read, or CAP_SYS_ADMIN");
  }
  if (!root) return base::fail(base::ErrorCode::kUnavailable, "a kernel with tracefs");
  if (const auto number = read_number(root->get(), file)) return *number;
  return base::fail(base::ErrorCode::kUnavailable, "a kernel that traces system calls (CONFIG_FTRACE_SYSCALLS)");
}

base::Result<ErrnoWindow> ErrnoWindow::prepare(bpf_program* program, const std::string& trace_files) {
  const auto number = tracepoint_number("syscalls/sys_exit_connect", trace_files);
  if (!number) return tl::unexpected(number.error());
  ErrnoWindow window(program, *number);
  if (auto opened = window.open(); !opened) return tl::unexpected(opened.error());
  window.close();
  return window;
}

base::Result<void> ErrnoWindow::open() {
  if (is_open()) return {};
  const BpfMessages messages;
  perf_event_attr event{};
  event.size = sizeof event;
  event.type = PERF_TYPE_TRACEPOINT;
  event.config = tracepoint_;
  // The program belongs to the tracepoint, not to the processor: one event anywhere makes it run everywhere.
  const int processor = ::sched_getcpu();
  base::FileDescriptor descriptor(
      static_cast<int>(::syscall(SYS_perf_event_open, &event, -1, processor, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!descriptor.is_open()) {
    return base::fail(base::ErrorCode::kUnavailable, errno == EACCES || errno == EPERM
                                                         ? "CAP_PERFMON for perf_event_open()"
                                                         : what_is_missing(errno, messages.text()));
  }
  link_.reset(bpf_program__attach_perf_event(program_, descriptor.get()));
  if (!link_) return base::fail(base::ErrorCode::kUnavailable, what_is_missing(errno, messages.text()));
  static_cast<void>(descriptor.release());  // the link closes it
  return {};
}

bool ErrnoWindowPolicy::should_open(std::uint64_t unattributed, base::Instant now) {
  const bool has_grown = unattributed > seen_;
  seen_ = unattributed;
  if (!has_grown || (opened_ && now - *opened_ < kApart)) return false;
  opened_ = now;
  return true;
}

}  // namespace tidewaiter::kernel
