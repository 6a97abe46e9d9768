// SPDX-License-Identifier: Apache-2.0
#include "kernel/linux_capabilities.h"

#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "kernel/census.h"
#include "kernel/destroy_listener.h"
#include "kernel/testing/other_users.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TIDEWAITER_UNDER_TSAN
#endif
#endif

namespace tidewaiter::kernel {
namespace {

constexpr CapabilitySet kKept{LinuxCapability::kBpf, LinuxCapability::kPerfmon, LinuxCapability::kNetAdmin};

TEST(CapabilitySet, has_the_kernel_s_names) {
  EXPECT_EQ(name(LinuxCapability::kNetAdmin), "CAP_NET_ADMIN");
  EXPECT_EQ(name(LinuxCapability::kSysPtrace), "CAP_SYS_PTRACE");
  EXPECT_EQ(kKept.to_string(), "CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF");
  EXPECT_EQ(CapabilitySet().to_string(), "none");
  EXPECT_EQ(CapabilitySet(1).to_string(), "CAP_CHOWN");
  EXPECT_EQ(CapabilitySet(std::uint64_t{1} << CAP_CHECKPOINT_RESTORE).to_string(), "CAP_CHECKPOINT_RESTORE");
  EXPECT_EQ(CapabilitySet(std::uint64_t{1} << 41 | std::uint64_t{1} << 63).to_string(), "CAP_41, CAP_63")
      << "newer than this program";
  EXPECT_TRUE(is_known_here(LinuxCapability::kNetAdmin));
  EXPECT_FALSE(is_known_here(static_cast<LinuxCapability>(63)));
  static_assert(static_cast<int>(LinuxCapability::kBpf) == CAP_BPF &&
                static_cast<int>(LinuxCapability::kPerfmon) == CAP_PERFMON);
  static_assert(static_cast<int>(LinuxCapability::kSysAdmin) == CAP_SYS_ADMIN);
  static_assert(static_cast<int>(LinuxCapability::kDacReadSearch) == CAP_DAC_READ_SEARCH);
  static_assert(static_cast<int>(LinuxCapability::kSetPcap) == CAP_SETPCAP);
}

TEST(Capabilities, are_read_from_the_status_of_a_process) {
  const auto read = parse_capabilities(
      "Name:\tCapEff: 0\nCapInh:\t0000000000000001\nCapPrm:\t000001fffeffffff\nCapEff:\t000000c000001000\n"
      "CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->effective, kKept);
  EXPECT_EQ(read->permitted.bits(), 0x1fffeffffffULL);
  EXPECT_EQ(read->inheritable.bits(), 1U);
  EXPECT_TRUE(read->ambient.empty());
  EXPECT_TRUE(read->has_no_new_privileges);
  for (const char* text : {"", "CapEff:\t0\n", "CapInh: 0\nCapPrm: 0\nCapEff: xyz\nCapBnd: 0\nCapAmb: 0\n",
                           "CapInh: 0\nCapPrm: 0\nCapEff:\nCapBnd: 0\nCapAmb: 0\n"}) {
    EXPECT_EQ(parse_capabilities(text).error().code, base::ErrorCode::kMalformed) << text;
  }
}

TEST(Capabilities, of_this_thread_can_be_read) {
  const auto own = capabilities_of_thread();
  ASSERT_TRUE(own) << own.error().message();
  EXPECT_TRUE(own->permitted.contains(own->effective));
}

TEST(WithoutCapability, takes_one_away_and_gives_it_back) {
  const auto before = capabilities_of_thread()->effective;
  if (!before.has(LinuxCapability::kNetAdmin)) GTEST_SKIP() << "needs CAP_NET_ADMIN, to do without it";
  {
    const WithoutCapability plain(LinuxCapability::kNetAdmin);
    EXPECT_FALSE(capabilities_of_thread()->effective.has(LinuxCapability::kNetAdmin));
    const WithoutCapability again(LinuxCapability::kNetAdmin);
  }
  EXPECT_EQ(capabilities_of_thread()->effective, before);
}

/// What `work` returns in a process of its own.
int in_a_child(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool become_nobody() { return setgid(65'534) == 0 && setuid(65'534) == 0; }

TEST(DroppingCapabilities, leaves_root_with_what_it_keeps_and_no_way_back) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to have something to drop";
  const auto had = capabilities_of_thread()->permitted;
  EXPECT_EQ(in_a_child([&] {
              const auto left = drop_capabilities(kKept);
              if (!left) return 1;
              if (left->effective != (had & kKept) || left->permitted != (had & kKept)) return 2;
              if (!left->inheritable.empty() || !left->ambient.empty()) return 3;
              if (!kKept.contains(left->bounding)) return 4;
              if (!left->has_no_new_privileges) return 5;
              if (unshare(CLONE_NEWNET) == 0) return 6;
              if (prctl(PR_CAPBSET_DROP, 0, 0, 0, 0) == 0) return 7;
              return 0;
            }),
            0);
}

TEST(DroppingCapabilities, holds_for_programs_that_root_starts_afterwards) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_EQ(in_a_child([] {
              if (!drop_capabilities({})) return 1;
              execl("/bin/sh", "sh", "-c", "grep -q '^CapPrm:.0000000000000000$' /proc/self/status", nullptr);
              return 2;
            }),
            0)
      << "root gets all capabilities at execve() otherwise";
}

TEST(DroppingCapabilities, does_an_ordinary_user_no_harm) {
  if (!testing::can_others_enter_root()) GTEST_SKIP() << "other users cannot enter / here";
  EXPECT_EQ(in_a_child([] {
              if (geteuid() == 0 && !become_nobody()) return 1;
              const auto left = drop_capabilities(kKept);
              if (!left) return 2;
              if (!left->effective.empty() || !left->permitted.empty()) return 3;
              if (!left->has_no_new_privileges) return 4;
              // What needs none goes on as before.
              Census census(*NetworkNamespace::open("self"));
              if (!census.look({})) return 5;
              if (!DestroyListener::open()) return 6;
              return 0;
            }),
            0);
}

TEST(DroppingCapabilities, keeps_those_that_a_service_manager_gave_to_an_ordinary_user) {
  if (!testing::can_others_enter_root()) GTEST_SKIP() << "other users cannot enter / here";
  if (geteuid() != 0 || !capabilities_of_thread()->permitted.contains(kKept))
    GTEST_SKIP() << "needs root, to give them";
  // As AmbientCapabilities= does it: kept over the change of user, then inheritable and ambient.
  EXPECT_EQ(in_a_child([] {
              if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || !become_nobody()) return 1;
              const auto given = capabilities_of_thread();
              if (!given || !given->permitted.contains(kKept) || !given->effective.empty()) return 2;
              const auto left = drop_capabilities(kKept);
              if (!left || left->effective != kKept || left->permitted != kKept) return 3;
              // CAP_NET_ADMIN is there to be used: a receive buffer beyond net.core.rmem_max.
              const auto listener = DestroyListener::open();
              if (!listener || listener->receive_buffer_bytes() < DestroyOptions{}.receive_buffer_bytes) return 4;
              return 0;
            }),
            0);
}

TEST(DroppingCapabilities, is_refused_while_another_thread_has_more) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
#ifdef TIDEWAITER_UNDER_TSAN
  GTEST_SKIP() << "ThreadSanitizer allows no threads in a forked process";
#endif
  EXPECT_EQ(in_a_child([] {
              int ends[2];
              if (pipe2(ends, O_CLOEXEC) != 0) return 1;
              std::thread other([&] {
                char byte = 0;
                static_cast<void>(read(ends[0], &byte, 1));
              });
              const auto refused = drop_capabilities(kKept);
              close(ends[1]);
              other.join();
              if (refused || refused.error().code != base::ErrorCode::kUnavailable) return 2;
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace tidewaiter::kernel
