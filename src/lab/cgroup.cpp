// SPDX-License-Identifier: Apache-2.0
#include "lab/cgroup.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <linux/bpf.h>
#include <sstream>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lab/leftovers.h"

namespace tidewaiter::lab {
namespace {

constexpr bpf_insn set_reply(std::int32_t value) { return {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, value}; }
constexpr bpf_insn return_value(std::int32_t value) { return {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value}; }
constexpr bpf_insn kExit{BPF_JMP | BPF_EXIT, 0, 0, 0, 0};

/// bpf(2), with an attribute that is zero where the caller did not set it.
base::FileDescriptor call_bpf(int command, const bpf_attr& attributes) {
  return base::FileDescriptor(static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes)));
}

struct Program {
  bpf_prog_type type;
  bpf_attach_type place;
  std::vector<bpf_insn> instructions;
};

/// The program stays while the link is open.
base::Result<base::FileDescriptor> attach(const base::FileDescriptor& cgroup, const Program& program) {
  bpf_attr load;
  std::memset(&load, 0, sizeof load);
  load.prog_type = program.type;
  load.expected_attach_type = program.place;
  load.insns = reinterpret_cast<std::uintptr_t>(program.instructions.data());
  load.insn_cnt = static_cast<std::uint32_t>(program.instructions.size());
  load.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
  const base::FileDescriptor loaded = call_bpf(BPF_PROG_LOAD, load);
  if (!loaded.is_open()) return base::fail_errno(errno, "load a BPF program for a cgroup");
  bpf_attr link;
  std::memset(&link, 0, sizeof link);
  link.link_create.prog_fd = static_cast<std::uint32_t>(loaded.get());
  link.link_create.target_fd = static_cast<std::uint32_t>(cgroup.get());
  link.link_create.attach_type = program.place;
  base::FileDescriptor linked = call_bpf(BPF_LINK_CREATE, link);
  if (!linked.is_open()) return base::fail_errno(errno, "attach a BPF program to a cgroup");
  return linked;
}

}  // namespace

std::optional<std::filesystem::path> cgroup_root() {
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string device;
    std::string place;
    std::string type;
    if (fields >> device >> place >> type && type == "cgroup2") return place;
  }
  return std::nullopt;
}

base::Result<Cgroup> Cgroup::create() {
  static std::atomic<unsigned> next = 0;
  const auto root = cgroup_root();
  if (!root) return base::fail(base::ErrorCode::kUnavailable, "cgroup v2 is not mounted");
  Cgroup cgroup(*root / fmt::format("{}{}-{}", kLeftoverPrefix, ProcessIdentity::own().to_string(), next++));
  if (mkdir(cgroup.path_.c_str(), 0755) != 0) {
    const int error = errno;
    const std::string path = std::exchange(cgroup.path_, {});
    return base::fail_errno(error, "make the cgroup " + path);
  }
  cgroup.directory_ = base::FileDescriptor(::open(cgroup.path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.directory_.is_open()) return base::fail_errno(errno, "open the cgroup " + cgroup.path_.string());
  return cgroup;
}

Cgroup::~Cgroup() {
  if (!path_.empty()) rmdir(path_.c_str());  // what stays is a leftover, found by the next run
}

base::Result<void> Cgroup::deny_connects() {
  auto link = attach(directory_, {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, {return_value(0), kExit}});
  if (!link) return tl::unexpected(link.error());
  links_.push_back(std::move(*link));
  return {};
}

base::Result<void> Cgroup::set_syn_timeout(std::uint32_t jiffies) {
  constexpr auto kOperation = static_cast<std::int16_t>(offsetof(bpf_sock_ops, op));
  constexpr auto kReply = static_cast<std::int16_t>(offsetof(bpf_sock_ops, reply));
  auto link = attach(directory_, {BPF_PROG_TYPE_SOCK_OPS,
                                  BPF_CGROUP_SOCK_OPS,
                                  {{BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, kOperation, 0},
                                   {BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 2, BPF_SOCK_OPS_TIMEOUT_INIT},
                                   set_reply(static_cast<std::int32_t>(jiffies)),
                                   {BPF_STX | BPF_MEM | BPF_W, BPF_REG_1, BPF_REG_3, kReply, 0},
                                   return_value(1),
                                   kExit}});
  if (!link) return tl::unexpected(link.error());
  links_.push_back(std::move(*link));
  return {};
}

bool enter_cgroup(const std::string& entrance) {
  const base::FileDescriptor processes(::open(entrance.c_str(), O_WRONLY | O_CLOEXEC));
  return processes.is_open() && ::write(processes.get(), "0", 1) == 1;
}

}  // namespace tidewaiter::lab
