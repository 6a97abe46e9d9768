// SPDX-License-Identifier: Apache-2.0
#include "kernel/errno_window.h"

#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <poll.h>
#include <unistd.h>

#include "kernel/early_failures.h"
#include "kernel/linux_capabilities.h"
#include "kernel/tests/connect_fixture.h"

namespace tidewaiter::kernel {
namespace {

using telemetry::Address;
using telemetry::ConnectCause;
using testing::connect_to;

base::Instant at(int second) { return base::Instant(base::Seconds(second)); }

TEST(ErrnoWindowPolicy, opens_while_causes_are_unknown_and_at_most_once_in_ten_seconds) {
  ErrnoWindowPolicy policy;
  EXPECT_FALSE(policy.should_open(0, at(0)));
  EXPECT_TRUE(policy.should_open(1, at(1)));
  EXPECT_FALSE(policy.should_open(2, at(3)));
  EXPECT_FALSE(policy.should_open(9, at(10)));
  EXPECT_TRUE(policy.should_open(10, at(11)));
  EXPECT_FALSE(policy.should_open(10, at(40))) << "none came since";
  EXPECT_TRUE(policy.should_open(11, at(41)));
}

TEST(TracepointNumber, names_what_is_missing) {
  const auto number = tracepoint_number("syscalls/sys_exit_connect", "/nowhere");
  ASSERT_FALSE(number);
  EXPECT_NE(number.error().message().find("syscalls/sys_exit_connect in /nowhere"), std::string::npos);
}

std::string mounts() {
  std::ifstream file("/proc/self/mountinfo");
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(TracepointNumber, is_found_without_a_mount_that_anybody_sees) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const std::string before = mounts();
  const auto number = tracepoint_number("syscalls/sys_exit_connect", "");
  ASSERT_TRUE(number) << number.error().message();
  EXPECT_GT(*number, 0U);
  EXPECT_EQ(mounts(), before);
  EXPECT_FALSE(tracepoint_number("syscalls/sys_exit_nothing", ""));
}

/// Destinations that no SYN ever leaves for: one without a route, one that the route forbids.
class ErrnoWindowTest : public ShapesOfConnectProbe {
 protected:
  static inline const Address kNowhere = Address::v4(0xc0000201);    // 192.0.2.1
  static inline const Address kForbidden = Address::v4(0xc0000207);  // 192.0.2.7

  void SetUp() override {
    if (auto made = make_network(); !made) GTEST_SKIP() << made.error().message();
    if (std::system("ip route add prohibit 192.0.2.7/32") != 0) GTEST_SKIP() << "ip (iproute2) is not installed";
  }

  bool attach_with_window() {
    const auto row = attach() ? row_of(table_, "bpf_errno_window") : std::nullopt;
    return row && row->is_active;
  }

  static void fail(const Address& destination, int times) {
    for (int i = 0; i < times; ++i) static_cast<void>(connect_to(destination, kPort));
  }

  telemetry::ConnectTotals totals_of(const Address& destination, base::Instant when) {
    return totals_at(when, {Address(), destination, kPort});
  }
};

TEST_P(ErrnoWindowTest, tells_causes_apart_while_it_is_open_and_leaves_the_others_unknown) {
  ASSERT_TRUE(attach_with_window());
  const base::Instant start = now();
  fail(kNowhere, 2);
  EXPECT_EQ(totals_of(kNowhere, start).pre_syn_unattributed, 1U) << "the other one may be on its way";
  fail(kNowhere, 3);
  fail(kForbidden, 4);

  auto nowhere = counted(5, 0);
  nowhere.pre_syn_unattributed = 2;  // before
  ended(nowhere, ConnectCause::kUnreachable) = 3;
  auto forbidden = counted(4, 0);
  forbidden.prohibited = 4;
  ended(forbidden, ConnectCause::kUnreachable) = 4;
  EXPECT_EQ(counts_of(totals_of(kNowhere, start)), nowhere);
  EXPECT_EQ(counts_of(totals_of(kForbidden, start)), forbidden);

  const base::Instant closed = start + ErrnoWindowPolicy::kOpenFor;
  EXPECT_EQ(counts_of(totals_of(kForbidden, closed)), forbidden);
  fail(kForbidden, 3);
  const base::Instant over = now() + EarlyFailures::kSurelyOver;
  static_cast<void>(totals_of(kForbidden, over));
  forbidden.attempts = 7;
  forbidden.pre_syn_unattributed = 3;
  EXPECT_EQ(counts_of(totals_of(kForbidden, over)), forbidden) << "it has closed, and not opened again";
}

TEST_P(ErrnoWindowTest, closes_when_its_descriptor_says_so) {
  ASSERT_TRUE(attach_with_window());
  fail(kNowhere, 2);
  static_cast<void>(totals_of(kNowhere, now()));
  ASSERT_TRUE(eventually([&] {
    pollfd due{probe_->descriptor(), POLLIN, 0};
    return ::poll(&due, 1, 0) == 1;
  }));
  events();
  fail(kForbidden, 2);
  EXPECT_EQ(totals_of(kForbidden, now()).prohibited, 0U);
}

TEST_P(ErrnoWindowTest, opens_after_all_but_a_few_capabilities_were_dropped) {
  EXPECT_EQ(in_a_child([this] {
              if (!attach_with_window()) return 1;
              const CapabilitySet kept{LinuxCapability::kBpf, LinuxCapability::kPerfmon, LinuxCapability::kNetAdmin};
              if (const auto left = drop_capabilities(kept); !left || left->effective != kept) return 2;
              fail(kForbidden, 2);
              static_cast<void>(totals_of(kForbidden, now()));
              fail(kForbidden, 3);
              return totals_of(kForbidden, now()).prohibited == 3 ? 0 : 3;
            }),
            0);
}

TEST_P(ErrnoWindowTest, that_cannot_be_had_is_a_row_and_its_causes_stay_unknown) {
  options_.surroundings.trace_files = "/nowhere";
  ASSERT_FALSE(attach_with_window());
  const auto row = row_of(table_, "bpf_errno_window");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->needs, "syscalls/sys_exit_connect in /nowhere");
  fail(kForbidden, 2);
  static_cast<void>(totals_of(kForbidden, now()));
  fail(kForbidden, 2);
  EXPECT_EQ(totals_of(kForbidden, now()).pre_syn_unattributed, 3U);
}

TEST(ErrnoWindow, needs_a_tracefs_that_it_may_read_or_mount) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to do without it";
  EXPECT_EQ(
      in_a_child([] {
        if (setgid(65'534) != 0 || setuid(65'534) != 0) return 1;
        const auto number = tracepoint_number("syscalls/sys_exit_connect", "");
        if (number) return 2;
        return number.error().message() == "tracefs at /sys/kernel/tracing that it may read, or CAP_SYS_ADMIN" ? 0 : 3;
      }),
      0);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ErrnoWindowTest, ::testing::Values(ConnectVariant::kTyped, ConnectVariant::kCgroup),
                         name_of);

}  // namespace
}  // namespace tidewaiter::kernel
