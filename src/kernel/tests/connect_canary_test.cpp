// SPDX-License-Identifier: Apache-2.0
#include "kernel/connect_canary.h"

#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>

#include "kernel/tests/connect_fixture.h"

namespace tidewaiter::kernel {
namespace {

using telemetry::ConnectCause;

base::Instant at(int second) { return base::Instant(base::Seconds(second)); }

TEST(ConnectCanary, is_due_at_once_and_then_as_often_as_it_was_told) {
  ConnectCanary canary(base::Seconds(60));
  EXPECT_TRUE(canary.is_due(at(5)));
  canary.note(CanaryEnd::kSeen, at(5));
  EXPECT_FALSE(canary.is_due(at(5)));
  EXPECT_FALSE(canary.is_due(at(64)));
  EXPECT_TRUE(canary.is_due(at(65)));
  canary.note(CanaryEnd::kNotMade, at(65));
  EXPECT_FALSE(canary.is_due(at(66))) << "no need to hurry: what stopped it is none of the hooks";
}

TEST(ConnectCanary, tells_what_is_wrong_until_one_is_seen_again) {
  ConnectCanary canary(base::Seconds(60));
  EXPECT_EQ(canary.needs(), "");
  canary.note(CanaryEnd::kSeen, at(0));
  EXPECT_FALSE(canary.is_blind());
  canary.note(CanaryEnd::kUnseen, at(60));
  canary.note(CanaryEnd::kNotMade, at(120));
  EXPECT_TRUE(canary.is_blind()) << "nothing has shown that it is over";
  EXPECT_EQ(canary.needs(), "hooks that see connects: 1 of 2 made to test them were not seen");
  canary.note(CanaryEnd::kSeen, at(180));
  EXPECT_FALSE(canary.is_blind());
  EXPECT_EQ(canary.needs(), "");
  EXPECT_EQ(canary.unseen(), 1U);
}

/// In a network of its own, the programs attached.
class CanaryConnect : public ShapesOfConnectProbe {
 protected:
  void SetUp() override {
    elsewhere_ = base::FileDescriptor(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (auto made = make_network(); !made) GTEST_SKIP() << made.error().message();
    if (auto attached = attach(); !attached) GTEST_SKIP() << attached.error().message();
  }

  void send(base::Instant when) {
    const auto self = NetworkNamespace::open("self");
    ASSERT_TRUE(self);
    probe_->test_hooks(*self, when);
  }

  void look_elsewhere() {
    const auto elsewhere = NetworkNamespace::open("/proc/self/fd/" + std::to_string(elsewhere_.get()));
    ASSERT_TRUE(elsewhere && probe_->watch(*elsewhere));
  }

  base::FileDescriptor elsewhere_;  ///< the namespace that the test came from
};

TEST_P(CanaryConnect, is_seen_and_is_in_no_count_and_no_event) {
  for (int i = 0; i < 3; ++i) send(now() + i * options_.canary_every);
  EXPECT_EQ(probe_->canary().needs(), "");
  const auto reading = probe_->read(now() + base::Seconds(10));
  ASSERT_TRUE(reading);
  EXPECT_TRUE(reading->tuples.empty());
  EXPECT_FALSE(reading->other);
  for (const auto& [what, lost] : reading->lost) EXPECT_EQ(lost, 0U) << what;
  EXPECT_TRUE(events().empty());
}

TEST_P(CanaryConnect, hides_nobody_who_connects_to_the_same_place) {
  send(now());
  EXPECT_FALSE(testing::connect_to(kLoopback, 0));
  auto expected = counted(1, 0);
  ended(expected, ConnectCause::kRefused) = 1;
  EXPECT_EQ(counts_of(totals(kLoopback, kLoopback, 0)), expected);
  EXPECT_EQ(events().size(), 1U);
}

TEST_P(CanaryConnect, that_is_not_seen_is_told_and_counted) {
  look_elsewhere();
  send(now());
  EXPECT_TRUE(probe_->canary().is_blind());
  const auto reading = probe_->read(now());
  ASSERT_TRUE(reading);
  EXPECT_EQ(reading->lost.at("bpf_canaries"), 1U);
  const auto self = NetworkNamespace::open("self");
  ASSERT_TRUE(self && probe_->watch(*self));
  send(now());
  EXPECT_TRUE(probe_->canary().is_blind()) << "not due";
  send(now() + options_.canary_every);
  EXPECT_FALSE(probe_->canary().is_blind());
}

INSTANTIATE_TEST_SUITE_P(Shapes, CanaryConnect,
                         ::testing::Values(ConnectVariant::kTyped, ConnectVariant::kRaw, ConnectVariant::kCgroup,
                                           ConnectVariant::kCgroupPlain),
                         name_of);

TEST(CanaryWithoutLoopback, comes_to_no_syn) {
  auto network = testing::PrivateNetwork::create();
  if (!network) GTEST_SKIP() << network.error().message();
  if (std::system("ip address flush dev lo") != 0) GTEST_SKIP() << "ip (iproute2) is not installed";
  std::uint64_t announced = 0;
  const auto made = connect_nowhere([&](std::uint64_t cookie) { announced = cookie; });
  ASSERT_TRUE(made);
  EXPECT_FALSE(*made);
  EXPECT_NE(announced, 0U);
}

}  // namespace
}  // namespace tidewaiter::kernel
