// SPDX-License-Identifier: Apache-2.0
// The probe beside programs of others, in a cgroup of its own.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <skeletons/neighbours.skel.h>

#include "kernel/bpf_program.h"
#include "kernel/testing/private_cgroup.h"
#include "kernel/tests/connect_fixture.h"

namespace tidewaiter::kernel {
namespace {

using telemetry::ConnectCause;
using testing::connect_to;
using testing::listen_on;

/// <linux/bpf.h>: BPF_SOCK_OPS_RETRANS_CB_FLAG, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_RTT_CB_FLAG.
constexpr std::uint32_t kRetransmits = 2;
constexpr std::uint32_t kStates = 4;
constexpr std::uint32_t kRoundTrips = 8;

class ConnectNeighbours : public ShapesOfConnectProbe {
 protected:
  void SetUp() override {
    auto cgroup = testing::PrivateCgroup::create();
    if (!cgroup) GTEST_SKIP() << cgroup.error().message();
    cgroup_.emplace(std::move(*cgroup));
    if (auto made = make_network(); !made) GTEST_SKIP() << made.error().message();
    skeleton_ = neighbours_bpf__open_and_load();
    ASSERT_NE(skeleton_, nullptr);
  }
  void TearDown() override { neighbours_bpf__destroy(skeleton_); }

  [[nodiscard]] BpfLink neighbour(bpf_program* program) const {
    return BpfLink(bpf_program__attach_cgroup(program, cgroup_->open().get()));
  }

  std::optional<testing::PrivateCgroup> cgroup_;
  neighbours_bpf* skeleton_ = nullptr;
};

TEST_P(ConnectNeighbours, keep_the_calls_that_they_asked_for) {
  ASSERT_TRUE(attach());
  const BpfLink wants = neighbour(skeleton_->progs.want_round_trips);
  const BpfLink notes = neighbour(skeleton_->progs.note_mask);
  ASSERT_TRUE(wants && notes);
  const auto listener = listen_on(kLoopback, kPort, 64);
  ASSERT_TRUE(connect_to(kLoopback, kPort));
  const std::uint32_t added = is_of_cgroup() ? kStates | kRetransmits : 0;
  EXPECT_EQ(skeleton_->bss->last_calls, kRoundTrips | added);
  EXPECT_EQ(counts_of(totals()), counted(1, 1));
}

TEST_P(ConnectNeighbours, that_replace_the_mask_before_the_probe_hide_nothing) {
  ASSERT_TRUE(attach());  // at the root: after them
  const BpfLink replaces = neighbour(skeleton_->progs.replace_mask);
  ASSERT_TRUE(replaces);
  EXPECT_FALSE(connect_to(kLoopback, kPort));
  const auto listener = listen_on(kLoopback, kPort, 64);
  ASSERT_TRUE(connect_to(kLoopback, kPort));
  auto expected = counted(2, 1);
  ended(expected, ConnectCause::kRefused) = 1;
  expected.retries = 1;
  EXPECT_EQ(counts_of(totals()), expected);
}

TEST_P(ConnectNeighbours, that_replace_the_mask_after_the_probe_do_not_hide_what_is_established) {
  options_.surroundings.cgroup_root = cgroup_->path();
  ASSERT_TRUE(attach());  // in the same cgroup, and earlier
  const BpfLink replaces = neighbour(skeleton_->progs.replace_mask);
  ASSERT_TRUE(replaces);
  const auto listener = listen_on(kLoopback, kPort, 64);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(connect_to(kLoopback, kPort));
  EXPECT_EQ(counts_of(totals()), counted(3, 3));
}

TEST_P(ConnectNeighbours, that_refuse_a_connect_are_its_cause) {
  ASSERT_TRUE(attach());
  const BpfLink denies = neighbour(skeleton_->progs.deny);
  ASSERT_TRUE(denies);
  const auto listener = listen_on(kLoopback, kPort, 64);
  for (int i = 0; i < 3; ++i) {
    const auto refused = connect_to(kLoopback, kPort);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().system_errno, EPERM);
  }
  auto expected = counted(3, 0);
  ended(expected, ConnectCause::kDenied) = 3;
  EXPECT_EQ(counts_of(totals({}, kLoopback, kPort)), expected);
  const auto seen = events();
  ASSERT_EQ(seen.size(), 3U);
  for (const auto& event : seen) EXPECT_EQ(event.cause, ConnectCause::kDenied);
}

TEST_P(ConnectNeighbours, that_hold_the_cgroup_for_themselves_are_told) {
  const base::FileDescriptor cgroup = cgroup_->open();
  ASSERT_EQ(
      bpf_prog_attach(bpf_program__fd(skeleton_->progs.want_round_trips), cgroup.get(), BPF_CGROUP_INET4_CONNECT, 0),
      0);
  options_.surroundings.cgroup_root = cgroup_->path();
  const auto attached = attach();
  const auto row = row_of(table_, "bpf_connect");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->needs, "a cgroup root that no other program holds for itself");
  EXPECT_EQ(attached.has_value(), !is_of_cgroup()) << "what happens to sockets is seen without";
}

TEST_P(ConnectNeighbours, a_cgroup_that_has_been_removed_is_told) {
  const base::FileDescriptor removed = cgroup_->open();
  cgroup_->remove();
  options_.surroundings.cgroup_root = "/proc/self/fd/" + std::to_string(removed.get());
  const auto attached = attach();
  const auto row = row_of(table_, "bpf_connect");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->needs, "a cgroup that is not being removed");
  EXPECT_EQ(attached.has_value(), !is_of_cgroup());
}

INSTANTIATE_TEST_SUITE_P(Shapes, ConnectNeighbours, kShapesWithConnectHook, name_of);

}  // namespace
}  // namespace tidewaiter::kernel
