// SPDX-License-Identifier: Apache-2.0
#include "kernel/bpf_program.h"

#include <bpf/libbpf.h>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <linux/capability.h>
#include <mutex>
#include <sstream>
#include <string_view>
#include <sys/syscall.h>
#include <unistd.h>

namespace tidewaiter::kernel {
namespace {

struct KnownCapability {
  std::string_view name;
  unsigned bit;
};
constexpr KnownCapability kKnown[] = {
    {"CAP_NET_ADMIN", CAP_NET_ADMIN}, {"CAP_PERFMON", CAP_PERFMON}, {"CAP_BPF", CAP_BPF}};

std::uint64_t effective_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (syscall(SYS_capget, &header, data) != 0) return 0;
  return data[0].effective | static_cast<std::uint64_t>(data[1].effective) << 32;
}

bool has(std::uint64_t capabilities, unsigned bit) { return (capabilities >> bit & 1) != 0; }

}  // namespace

struct BpfMessageSink {
  static int take(libbpf_print_level level, const char* format, va_list arguments) {
    if (level == LIBBPF_DEBUG || BpfMessages::current_ == nullptr) return 0;
    char line[512];
    const int length = std::vsnprintf(line, sizeof line, format, arguments);
    if (length > 0 && BpfMessages::current_->text_.size() < (1U << 16)) BpfMessages::current_->text_ += line;
    return length;
  }
};

void BpfLinkCloser::operator()(bpf_link* link) const { bpf_link__destroy(link); }

BpfMessages* BpfMessages::current_ = nullptr;

BpfMessages::BpfMessages() : outer_(current_) {
  current_ = this;
  libbpf_set_print(BpfMessageSink::take);
}

BpfMessages::~BpfMessages() { current_ = outer_; }

std::uint64_t monotonic_ns() {
  timespec clock{};
  clock_gettime(CLOCK_MONOTONIC, &clock);
  return static_cast<std::uint64_t>(clock.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(clock.tv_nsec);
}

std::string missing_capabilities(const std::vector<std::string>& needed) {
  const std::uint64_t have = effective_capabilities();
  if (has(have, CAP_SYS_ADMIN)) return "";
  std::vector<std::string> missing;
  for (const std::string& name : needed) {
    for (const KnownCapability& known : kKnown) {
      if (known.name == name && !has(have, known.bit)) missing.push_back(name);
    }
  }
  return fmt::format("{}", fmt::join(missing, ", "));
}

std::string what_is_missing(int error_number, const std::string& messages) {
  const bool has_verdict = messages.find("BEGIN PROG LOAD LOG") != std::string::npos;
  for (const char* types : {"/sys/kernel/btf", "valid kernel BTF", "vmlinux BTF", "target BTF"}) {
    if (messages.find(types) != std::string::npos) return "a kernel with BTF (CONFIG_DEBUG_INFO_BTF)";
  }
  switch (error_number) {
    case EPERM:
    case EACCES:
      return has_verdict ? "a kernel whose verifier accepts it" : "blocked by kernel policy";
    case ENOENT:
    case ESRCH:
      return "a kernel that has the hook";
    case ENOMEM:
      return "memory for its maps";
    case EINVAL:
    case EOPNOTSUPP:
      return "a newer kernel";
    case EBUSY:
      return "a hook that nobody else holds";
    default:
      return fmt::format("attach failed: {}", base::fail_errno(error_number, "bpf").value().message());
  }
}

std::string what_a_cgroup_lacks(int error_number) {
  switch (error_number) {
    case EPERM:
      return "a cgroup root that no other program holds for itself";
    case EBADF:
      return "a cgroup v2 hierarchy: what is there is none";
    case ENODEV:
    case ENOENT:
      return "a cgroup that is not being removed";
    default:
      return what_is_missing(error_number, "");
  }
}

base::Result<base::FileDescriptor> open_cgroup_root(const std::string& place) {
  const auto open_directory = [](const std::string& path) -> base::Result<base::FileDescriptor> {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return base::fail_errno(errno, fmt::format("open {}", path));
    return base::FileDescriptor(descriptor);
  };
  if (!place.empty()) return open_directory(place);
  std::ifstream mounts("/proc/self/mountinfo");
  std::string line;
  while (std::getline(mounts, line)) {
    const auto separator = line.find(" - ");
    if (separator == std::string::npos || line.compare(separator + 3, 8, "cgroup2 ") != 0) continue;
    std::istringstream fields(line);
    std::string id, parent, device, root, path;
    fields >> id >> parent >> device >> root >> path;
    if (root == "/") return open_directory(path);  // else a subtree: programs there would not see every process
  }
  return base::fail(base::ErrorCode::kUnavailable, "the root of the cgroup v2 hierarchy is not mounted here",
                    "mount -t cgroup2 none /sys/fs/cgroup/unified");
}

}  // namespace tidewaiter::kernel
