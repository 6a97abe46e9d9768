// SPDX-License-Identifier: Apache-2.0
// The probe where something is missing: each lack is a row with its name, and what is lost is a number.
#include <cerrno>
#include <cstddef>
#include <gtest/gtest.h>
#include <iterator>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/bpf_program.h"
#include "kernel/linux_capabilities.h"
#include "kernel/tests/connect_fixture.h"

namespace tidewaiter::kernel {
namespace {

using telemetry::ConnectCause;
using testing::connect_to;

class ConnectDegradation : public ConnectFixture, public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto made = make_network(); !made) GTEST_SKIP() << made.error().message();
  }

  [[nodiscard]] std::string needs_of(const std::string& source) const {
    const auto row = row_of(table_, source);
    return row ? row->needs : "no such row";
  }

  [[nodiscard]] bool is_active(const std::string& source) const {
    const auto row = row_of(table_, source);
    return row && row->is_active;
  }

  /// True when one refused connect is counted as that, or as `cause`.
  bool sees_a_connect(ConnectCause cause = ConnectCause::kRefused) {
    static_cast<void>(connect_to(kLoopback, kPort));
    auto seen = totals();
    return seen.attempts == 1 && ended(seen, cause) == 1;
  }
};

TEST(WhatIsMissing, is_told_from_the_error_and_what_was_said) {
  EXPECT_EQ(what_is_missing(EPERM, ""), "blocked by kernel policy");
  EXPECT_EQ(what_is_missing(EACCES, "-- BEGIN PROG LOAD LOG --\ninvalid access"), "a kernel whose verifier accepts it");
  EXPECT_EQ(what_is_missing(ESRCH, "prog 'on_state': failed to find kernel BTF type ID of 'inet_sock_set_state': -3"),
            "a kernel that has the hook");
  EXPECT_EQ(what_is_missing(ESRCH, "failed to find valid kernel BTF"), "a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
}

TEST_F(ConnectDegradation, without_types_of_the_kernel_it_looks_from_the_cgroup_root) {
  options_.surroundings.kernel_types = "/nowhere";
  if (auto attached = attach(); !attached) GTEST_SKIP() << attached.error().message();
  EXPECT_EQ(needs_of("bpf_state"), "a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
  EXPECT_EQ(needs_of("bpf_connect_causes"), "a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
  EXPECT_TRUE(is_active("bpf_cgroup_state"));
  EXPECT_TRUE(sees_a_connect());
}

TEST_F(ConnectDegradation, without_types_and_with_tracepoints_wanted_there_is_nothing) {
  options_.surroundings.kernel_types = "/nowhere";
  options_.hooks = ConnectHooks::kTracepoints;
  const auto attached = attach();
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().code, base::ErrorCode::kNotPermitted);
  EXPECT_EQ(needs_of("bpf_state"), "a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
  for (const SourceRow& row : table_) EXPECT_FALSE(row.is_active || row.needs.empty()) << row.name;
}

TEST_F(ConnectDegradation, asked_for_the_cgroup_root_it_says_how_to_get_the_tracepoints) {
  options_.hooks = ConnectHooks::kCgroup;
  if (auto attached = attach(); !attached) GTEST_SKIP() << attached.error().message();
  EXPECT_EQ(needs_of("bpf_state"), "connects.hooks = \"automatic\" in the configuration");
  EXPECT_TRUE(is_active("bpf_cgroup_state"));
  EXPECT_TRUE(is_active("bpf_connect_causes"));
  EXPECT_TRUE(sees_a_connect());
}

TEST_F(ConnectDegradation, without_capabilities_every_row_says_which) {
  EXPECT_EQ(in_a_child([this] {
              if (!drop_capabilities({})) return 1;
              if (attach()) return 2;
              if (needs_of("bpf_state") != "CAP_BPF, CAP_PERFMON") return 3;
              if (needs_of("bpf_cgroup_state") != "CAP_BPF, CAP_NET_ADMIN") return 4;
              for (const SourceRow& row : table_) {
                if (row.is_active || row.needs.empty()) return 5;
              }
              return 0;
            }),
            0);
}

TEST_F(ConnectDegradation, without_cap_perfmon_it_looks_from_the_cgroup_root) {
  EXPECT_EQ(in_a_child([this] {
              if (!drop_capabilities({LinuxCapability::kBpf, LinuxCapability::kNetAdmin})) return 1;
              if (!attach()) return 2;
              if (needs_of("bpf_state") != "CAP_PERFMON" || needs_of("bpf_connect_causes") != "CAP_PERFMON") return 3;
              if (needs_of("bpf_errno_window") != "CAP_PERFMON") return 4;
              if (!is_active("bpf_cgroup_state") || !is_active("bpf_connect")) return 5;
              return sees_a_connect() ? 0 : 6;
            }),
            0);
}

TEST_F(ConnectDegradation, without_cap_net_admin_it_sees_no_failure_before_the_syn) {
  EXPECT_EQ(in_a_child([this] {
              if (!drop_capabilities({LinuxCapability::kBpf, LinuxCapability::kPerfmon})) return 1;
              if (!attach()) return 2;
              if (!is_active("bpf_state") || needs_of("bpf_connect") != "CAP_NET_ADMIN") return 3;
              return sees_a_connect() ? 0 : 4;
            }),
            0);
}

/// From now on the process may not load a program, as under lockdown or a security module.
bool forbid_loading() {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BPF_PROG_LOAD, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(rules), rules};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(ConnectDegradation, a_refusal_without_a_verdict_is_the_kernel_s_policy) {
  EXPECT_EQ(in_a_child([this] {
              if (!forbid_loading()) return 1;
              if (attach()) return 2;
              if (needs_of("bpf_state") != "blocked by kernel policy") return 3;
              return needs_of("bpf_cgroup_state") == "blocked by kernel policy" ? 0 : 4;
            }),
            0);
}

TEST_F(ConnectDegradation, tuples_without_room_are_counted_together) {
  options_.max_tuples = 4;
  if (auto attached = attach(); !attached) GTEST_SKIP() << attached.error().message();
  for (std::uint16_t i = 0; i < 10; ++i) EXPECT_FALSE(connect_to(kLoopback, static_cast<std::uint16_t>(9'000 + i)));
  const auto reading = probe_->read(now());
  ASSERT_TRUE(reading && reading->other);
  EXPECT_EQ(reading->tuples.size(), 4U);
  auto expected = counted(6, 0);
  ended(expected, ConnectCause::kRefused) = 6;
  EXPECT_EQ(counts_of(*reading->other), expected);
  for (const auto& entry : reading->tuples) EXPECT_EQ(entry.totals.attempts, 1U);
  EXPECT_GE(reading->lost.at("bpf_tuples"), 6U);
}

TEST_F(ConnectDegradation, events_without_room_are_counted_one_by_one) {
  if (auto attached = attach(); !attached) GTEST_SKIP() << attached.error().message();
  constexpr std::uint64_t kConnects = 12'000;  // some 100 bytes each, into a ring of a megabyte that nobody reads
  for (std::uint64_t i = 0; i < kConnects; ++i) static_cast<void>(connect_to(kLoopback, kPort));
  auto seen = totals();
  EXPECT_EQ(seen.attempts, kConnects);
  EXPECT_EQ(ended(seen, ConnectCause::kRefused), kConnects);
  const std::uint64_t drained = events().size();
  const auto reading = probe_->read(now());
  ASSERT_TRUE(reading);
  const std::uint64_t lost = reading->lost.at("bpf_ring");
  EXPECT_GT(lost, 0U);
  EXPECT_GT(drained, 0U);
  EXPECT_EQ(drained + lost, kConnects + seen.retries) << "an event for each failure, and for each retry";
}

}  // namespace
}  // namespace tidewaiter::kernel
