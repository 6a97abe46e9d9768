// SPDX-License-Identifier: Apache-2.0
#include "kernel/linux_capabilities.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fmt/format.h>
#include <linux/capability.h>
#include <optional>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

#include "kernel/network_settings.h"

namespace tidewaiter::kernel {
namespace {

constexpr unsigned kLargest = 64;

/// By number, as include/uapi/linux/capability.h has them.
constexpr std::string_view kNames =
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE";

std::string name_of(unsigned number) {
  std::string_view rest = kNames;
  for (unsigned before = 0; before < number; ++before) {
    const std::size_t blank = rest.find(' ');
    if (blank == std::string_view::npos) return fmt::format("CAP_{}", number);
    rest.remove_prefix(blank + 1);
  }
  return fmt::format("CAP_{}", rest.substr(0, rest.find(' ')));
}

/// What follows "Name:" on its line.
std::optional<std::string_view> field(std::string_view status, std::string_view name) {
  while (!status.empty()) {
    std::string_view line = status.substr(0, status.find('\n'));
    status.remove_prefix(std::min(line.size() + 1, status.size()));
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    line.remove_prefix(name.size() + 1);
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    return line;
  }
  return std::nullopt;
}

struct ThreadSets {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};

  [[nodiscard]] bool read() { return syscall(SYS_capget, &header, sets.data()) == 0; }
  [[nodiscard]] bool write() { return syscall(SYS_capset, &header, sets.data()) == 0; }
};

bool set_effective(LinuxCapability capability, bool is_effective) {
  ThreadSets thread;
  if (!thread.read()) return false;
  const auto number = static_cast<unsigned>(capability);
  std::uint32_t& word = thread.sets.at(number / 32).effective;
  const std::uint32_t bit = std::uint32_t{1} << number % 32;
  if (((word & bit) != 0) == is_effective) return false;
  word ^= bit;
  return thread.write();
}

/// Best effort: without CAP_SETPCAP the bounding set stays, and no_new_privs makes it meaningless.
void drop_bounding(CapabilitySet keep) {
  for (unsigned number = 0; number < kLargest && prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; ++number) {
    if ((keep.bits() >> number & 1) == 0) prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
  }
}

base::Result<void> drop_thread_sets(CapabilitySet keep) {
  ThreadSets thread;
  if (!thread.read()) return base::fail_errno(errno, "read the capabilities");
  for (std::size_t word = 0; word < thread.sets.size(); ++word) {
    auto& set = thread.sets.at(word);
    set.permitted &= static_cast<std::uint32_t>(keep.bits() >> (32 * word));
    set.effective = set.permitted;
    set.inheritable = 0;
  }
  if (!thread.write()) return base::fail_errno(errno, "give up capabilities");
  return {};
}

/// How many threads of the process have a permitted capability beyond `keep`.
unsigned threads_with_more(CapabilitySet keep) {
  unsigned threads = 0;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const auto status = read_file(thread.path().string() + "/status");
    if (!status) continue;  // it has just ended
    const auto capabilities = parse_capabilities(*status);
    if (!capabilities || !keep.contains(capabilities->permitted)) ++threads;
  }
  return threads;
}

}  // namespace

std::string name(LinuxCapability capability) { return name_of(static_cast<unsigned>(capability)); }

bool is_known_here(LinuxCapability capability) {
  return prctl(PR_CAPBSET_READ, static_cast<unsigned>(capability), 0, 0, 0) >= 0;
}

std::vector<std::string> CapabilitySet::names() const {
  std::vector<std::string> names;
  for (unsigned number = 0; number < kLargest; ++number) {
    if ((bits_ >> number & 1) != 0) names.push_back(name_of(number));
  }
  return names;
}

std::string CapabilitySet::to_string() const { return empty() ? "none" : fmt::format("{}", fmt::join(names(), ", ")); }

base::Result<Capabilities> parse_capabilities(std::string_view status) {
  Capabilities capabilities;
  struct Line {
    std::string_view name;
    CapabilitySet* set;
  };
  for (const Line& line : {Line{"CapEff", &capabilities.effective}, Line{"CapPrm", &capabilities.permitted},
                           Line{"CapInh", &capabilities.inheritable}, Line{"CapBnd", &capabilities.bounding},
                           Line{"CapAmb", &capabilities.ambient}}) {
    const auto text = field(status, line.name);
    std::uint64_t bits = 0;
    const auto failed = [&] {
      const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), bits, 16);
      return error != std::errc{} || end != text->data() + text->size();
    };
    if (!text || failed()) {
      return base::fail(base::ErrorCode::kMalformed, fmt::format("/proc/PID/status has no {} as expected", line.name));
    }
    *line.set = CapabilitySet(bits);
  }
  capabilities.has_no_new_privileges = field(status, "NoNewPrivs") == "1";
  return capabilities;
}

base::Result<Capabilities> capabilities_of_thread() {
  const auto status = read_file("/proc/thread-self/status");
  if (!status) return tl::unexpected(status.error());
  return parse_capabilities(*status);
}

base::Result<Capabilities> drop_capabilities(CapabilitySet keep) {
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  drop_bounding(keep);
  if (auto dropped = drop_thread_sets(keep); !dropped) return tl::unexpected(dropped.error());
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return base::fail_errno(errno, "set no_new_privs");
  if (const unsigned threads = threads_with_more(keep); threads > 0) {
    return base::fail(
        base::ErrorCode::kUnavailable,
        fmt::format("{} threads of this process keep more capabilities than {}", threads, keep.to_string()),
        "give them up before threads start");
  }
  return capabilities_of_thread();
}

WithoutCapability::WithoutCapability(LinuxCapability capability)
    : capability_(capability), is_changed_(set_effective(capability, false)) {}

WithoutCapability::~WithoutCapability() {
  if (is_changed_) set_effective(capability_, true);
}

}  // namespace tidewaiter::kernel
