// SPDX-License-Identifier: Apache-2.0
//
// The walk through /proc: over a tree made for it, and over real processes that load libraries of known names.
#include "kernel/bypass.h"

#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/network_namespace.h"
#include "kernel/testing/other_users.h"
#include "kernel/testing/private_network.h"

namespace tidewaiter::kernel {
namespace {

namespace fs = std::filesystem;
using telemetry::BypassKind;
using telemetry::BypassReport;

constexpr std::uint64_t kInode = 55;

base::Instant at(double seconds) {
  return base::Instant(std::chrono::duration_cast<base::Nanoseconds>(std::chrono::duration<double>(seconds)));
}

/// A /proc of its own.
class Tree {
 public:
  Tree() {
    std::string name = (fs::temp_directory_path() / "tidewaiter-proc-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  ~Tree() { fs::remove_all(root_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  void add(int pid, const std::string& maps, std::uint64_t inode = kInode, std::uint64_t start_time = 1'000) {
    const fs::path directory = root_ / std::to_string(pid);
    fs::remove_all(directory);
    fs::create_directories(directory / "ns");
    fs::create_directories(directory / "fd");
    write(directory / "stat",
          fmt::format("{} (p{}) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0\n", pid, pid, start_time));
    write(directory / "maps", maps);
    fs::create_symlink(fmt::format("net:[{}]", inode), directory / "ns/net");
  }
  void open_device(int pid, int descriptor, const std::string& target) const {
    fs::create_symlink(target, root_ / std::to_string(pid) / "fd" / std::to_string(descriptor));
  }
  void remove(int pid) const { fs::remove_all(root_ / std::to_string(pid)); }

  [[nodiscard]] std::string path() const { return root_.string(); }

 private:
  static void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }
  fs::path root_;
};

std::string mapped(const std::string& path) { return "1000-2000 r-xp 00000000 fd:01 77   " + path + "\n"; }

std::vector<std::pair<int, BypassKind>> found_in(const BypassReport& report) {
  std::vector<std::pair<int, BypassKind>> found;
  for (const auto& process : report.processes) found.emplace_back(process.pid, process.kind);
  return found;
}

using Found = std::vector<std::pair<int, BypassKind>>;

TEST(BypassWatch, finds_libraries_mappings_and_devices_of_the_watched_namespace) {
  Tree tree;
  tree.add(1, mapped("/usr/lib/libc.so.6"));
  tree.add(20, mapped("/usr/lib/libonload.so") + mapped("/dev/vfio/3"));
  tree.add(21, mapped("/usr/lib/libonload.so"), kInode + 1);
  tree.add(22, mapped("/usr/lib/libc.so.6"));
  tree.open_device(22, 3, "/dev/uio0");
  tree.open_device(22, 4, "socket:[9]");
  BypassWatch watch(kInode, {}, tree.path());
  const BypassReport report = watch.look(at(0));
  EXPECT_EQ(found_in(report), (Found{{20, BypassKind::kOnload}, {20, BypassKind::kDevice}, {22, BypassKind::kDevice}}));
  EXPECT_EQ(report.processes[0].comm, "p20");
  EXPECT_EQ(report.processes[0].evidence, "/usr/lib/libonload.so");
  EXPECT_EQ(report.processes[2].evidence, "/dev/uio0");
  EXPECT_EQ(report.inspected, 3U);
  EXPECT_TRUE(report.is_exhaustive());
}

TEST(BypassWatch, says_that_it_is_not_through_yet_and_goes_on_where_it_stopped) {
  Tree tree;
  std::string long_maps;
  for (int i = 0; i < 2'000; ++i) long_maps += mapped("/usr/lib/libc.so.6");
  for (int pid = 1; pid <= 10; ++pid) tree.add(pid, long_maps + mapped("/usr/lib/libvma.so"));
  BypassOptions options;
  options.entries_per_look = 500;
  BypassWatch watch(kInode, options, tree.path());
  BypassReport report = watch.look(at(0));
  EXPECT_EQ(report.inspected, 0U) << "a fraction of one process";
  EXPECT_EQ(report.pending, 10U);
  EXPECT_FALSE(report.is_exhaustive());
  int looks = 1;
  for (; report.pending > 0 && looks < 1'000; ++looks) report = watch.look(at(0));
  EXPECT_EQ(report.processes.size(), 10U);
  EXPECT_TRUE(report.is_exhaustive());
  EXPECT_GE(looks, 10 * 2'000 / 500 / 2) << "each look does its share";
}

TEST(BypassWatch, does_nothing_between_its_times) {
  Tree tree;
  tree.add(1, mapped("/usr/lib/libc.so.6"));
  BypassWatch watch(kInode, {}, tree.path());
  EXPECT_TRUE(watch.look(at(0)).processes.empty());
  tree.add(2, mapped("/usr/lib/libvma.so"));
  EXPECT_EQ(watch.look(at(4.9)).inspected, 1U);
  EXPECT_EQ(found_in(watch.look(at(5))), (Found{{2, BypassKind::kVma}}));
}

TEST(BypassWatch, forgets_a_process_that_has_ended) {
  Tree tree;
  tree.add(1, mapped("/usr/lib/libc.so.6"));
  tree.add(2, mapped("/usr/lib/libvma.so"));
  BypassWatch watch(kInode, {}, tree.path());
  EXPECT_EQ(watch.look(at(0)).processes.size(), 1U);
  tree.remove(2);
  EXPECT_TRUE(watch.look(at(6)).processes.empty());
}

TEST(BypassWatch, looks_again_soon_at_a_young_process_which_may_become_another_program) {
  Tree tree;
  tree.add(1, mapped("/bin/sh"));
  BypassWatch watch(kInode, {}, tree.path());
  EXPECT_TRUE(watch.look(at(0)).processes.empty());
  tree.add(1, mapped("/usr/lib/libonload.so"));
  EXPECT_EQ(found_in(watch.look(at(6))), (Found{{1, BypassKind::kOnload}}));
}

TEST(BypassWatch, looks_ever_less_often_at_an_old_one) {
  Tree tree;
  tree.add(1, mapped("/bin/sh"));
  BypassOptions options;
  options.list_every = base::Seconds(1);
  options.inspect_again = base::Seconds(100);
  BypassWatch watch(kInode, options, tree.path());
  double second = 0;
  for (; second < 200; ++second) EXPECT_TRUE(watch.look(at(second)).processes.empty());
  tree.add(1, mapped("/usr/lib/libonload.so"));
  const double changed = second;
  while (watch.look(at(second)).processes.empty() && second < 1'000) ++second;
  EXPECT_LE(second - changed, 100);
  EXPECT_GT(second - changed, 50) << "not at every listing";
}

TEST(BypassWatch, knows_a_process_by_its_start_time_too) {
  Tree tree;
  tree.add(1, mapped("/bin/sh"));
  BypassOptions options;
  options.list_every = base::Seconds(1);
  BypassWatch watch(kInode, options, tree.path());
  for (double second = 0; second < 22; ++second) static_cast<void>(watch.look(at(second)));  // next turn: at 85
  tree.add(1, mapped("/bin/sh"), kInode, 5'000);  // another process of that pid, seen at 85, again soon after
  for (double second = 22; second <= 85; ++second) static_cast<void>(watch.look(at(second)));
  tree.add(1, mapped("/usr/lib/libvma.so"), kInode, 5'000);
  EXPECT_EQ(found_in(watch.look(at(87))), (Found{{1, BypassKind::kVma}}));
}

TEST(BypassWatch, says_when_the_processes_of_others_are_hidden) {
  Tree tree;
  tree.add(20, mapped("/bin/sh"));
  BypassWatch watch(kInode, {}, tree.path());
  const BypassReport report = watch.look(at(0));
  EXPECT_TRUE(report.are_others_hidden) << "every pid namespace has a process 1";
  EXPECT_FALSE(report.is_exhaustive());
}

TEST(BypassWatch, is_silent_where_it_is_switched_off_or_without_proc) {
  Tree tree;
  tree.add(1, mapped("/usr/lib/libvma.so"));
  BypassOptions off;
  off.entries_per_look = 0;
  EXPECT_FALSE(BypassWatch(kInode, off, tree.path()).look(at(0)).has_listed);
  const BypassReport nowhere = BypassWatch(kInode, {}, tree.path() + "/none").look(at(0));
  EXPECT_FALSE(nowhere.has_listed);
  EXPECT_FALSE(nowhere.is_exhaustive());
}

/// A process that waits until its input ends, with a library preloaded.
class Child {
 public:
  explicit Child(const char* preload) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    input_ = base::FileDescriptor(ends[1]);
    const base::FileDescriptor output(ends[0]);
    std::string setting = fmt::format("LD_PRELOAD={}", preload);
    char* environment[] = {setting.data(), nullptr};
    char name[] = "cat";
    char* arguments[] = {name, nullptr};
    pid_ = fork();
    if (pid_ != 0) return;
    dup2(output.get(), STDIN_FILENO);
    execve("/bin/cat", arguments, environment);
    _exit(127);
  }
  ~Child() {
    input_.reset();
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  base::FileDescriptor input_;
  pid_t pid_ = -1;
};

std::string lookalike(const char* library) { return fmt::format("{}/lib{}.so", TIDEWAITER_LOOKALIKES, library); }

/// Looks, each time a listing later, until `is_enough` or for good.
template <class Enough>
BypassReport look_until(BypassWatch& watch, Enough is_enough) {
  BypassReport report;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (double second = 0; std::chrono::steady_clock::now() < deadline; second += 6) {
    report = watch.look(at(second));
    if (is_enough(report)) break;
  }
  return report;
}

TEST(BypassOfRealProcesses, is_found_by_their_libraries_in_their_network_namespace) {
  const auto home = NetworkNamespace::open("self")->inode();
  auto network = testing::PrivateNetwork::create();
  if (!network) GTEST_SKIP() << network.error().message();
  const auto inode = NetworkNamespace::open("self")->inode();
  ASSERT_TRUE(home && inode);
  EXPECT_NE(*home, *inode);
  const Child onload(lookalike("onload").c_str());
  const Child vma(lookalike("vma").c_str());
  const Child dpdk(lookalike("rte_eal").c_str());
  const Child stub(lookalike("onload_ext").c_str());
  const Child plain("");
  BypassWatch watch(*inode);
  const BypassReport report =
      look_until(watch, [](const BypassReport& seen) { return seen.processes.size() >= 3 && seen.pending == 0; });
  Found expected{{onload.pid(), BypassKind::kOnload}, {vma.pid(), BypassKind::kVma}, {dpdk.pid(), BypassKind::kDpdk}};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(found_in(report), expected) << "neither the stub nor the plain one";
  EXPECT_EQ(report.processes.at(0).comm, "cat");
  EXPECT_GE(report.inspected, 5U);

  BypassWatch elsewhere(*home);
  const BypassReport other =
      look_until(elsewhere, [](const BypassReport& seen) { return seen.has_listed && seen.pending == 0; });
  for (const auto& process : other.processes) {
    EXPECT_NE(process.pid, onload.pid());
    EXPECT_NE(process.pid, vma.pid());
  }
}

TEST(BypassOfRealProcesses, is_not_told_of_those_that_may_not_be_looked_into) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody who may not";
  if (!testing::can_others_enter_root()) GTEST_SKIP() << "other users cannot enter / here";
  const auto inode = NetworkNamespace::open("self")->inode();
  const Child onload(lookalike("onload").c_str());
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(65'534) != 0 || setuid(65'534) != 0) _exit(2);
    BypassWatch watch(*inode);
    const BypassReport report =
        look_until(watch, [](const BypassReport& seen) { return seen.has_listed && seen.pending == 0; });
    if (report.not_permitted == 0) _exit(3);
    if (report.is_exhaustive()) _exit(4);
    for (const auto& process : report.processes) {
      if (process.pid == onload.pid()) _exit(5);
    }
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(BypassOfRealProcesses, is_looked_for_among_the_own_ones_without_privilege) {
  const auto inode = NetworkNamespace::open("self")->inode();
  const Child vma(lookalike("vma").c_str());
  BypassWatch watch(*inode);
  const auto is_found = [&](const BypassReport& seen) {
    return std::any_of(seen.processes.begin(), seen.processes.end(),
                       [&](const auto& process) { return process.pid == vma.pid(); });
  };
  EXPECT_TRUE(is_found(look_until(watch, is_found)));
}

}  // namespace
}  // namespace tidewaiter::kernel
