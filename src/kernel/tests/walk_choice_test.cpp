// SPDX-License-Identifier: Apache-2.0
#include "kernel/walk_choice.h"

#include <gtest/gtest.h>

namespace tidewaiter::kernel {
namespace {

using base::Microseconds;
using telemetry::LookSource;

constexpr std::uint64_t kSockets = 50'000;

/// Walks at a cost for each source; how many of them were by the iterator.
std::uint32_t walk(WalkChoice& choice, std::uint32_t walks, Microseconds sock_diag, Microseconds iterator) {
  std::uint32_t by_iterator = 0;
  for (std::uint32_t i = 0; i < walks; ++i) {
    const bool is_iterator = choice.next() == LookSource::kIterator;
    by_iterator += is_iterator ? 1 : 0;
    choice.observe(is_iterator ? iterator : sock_diag, kSockets);
  }
  return by_iterator;
}

constexpr std::uint32_t kTwoTrials = 2 * (WalkChoice::kWalksBetweenTrials + 1);

TEST(WalkChoice, leaves_a_single_look_and_a_second_one_to_sock_diag) {
  WalkChoice choice;
  EXPECT_EQ(walk(choice, 2, Microseconds(20'000), Microseconds(1)), 0U);
}

TEST(WalkChoice, takes_the_iterator_after_three_trials_that_were_cheaper) {
  WalkChoice choice;
  EXPECT_EQ(walk(choice, 7, Microseconds(20'000), Microseconds(17'000)), 2U);
  EXPECT_EQ(choice.preferred(), LookSource::kSockDiag);
  EXPECT_TRUE(choice.needs_iterator()) << "the next trial is near";
  EXPECT_EQ(walk(choice, 1, Microseconds(20'000), Microseconds(17'000)), 1U);
  EXPECT_EQ(choice.preferred(), LookSource::kIterator);
  EXPECT_EQ(walk(choice, kTwoTrials, Microseconds(20'000), Microseconds(17'000)), kTwoTrials - 2);
}

TEST(WalkChoice, stays_with_sock_diag_where_the_iterator_is_no_tenth_cheaper) {
  WalkChoice choice;
  EXPECT_EQ(walk(choice, 4 + kTwoTrials, Microseconds(20'000), Microseconds(18'500)), 3U);
  EXPECT_EQ(choice.preferred(), LookSource::kSockDiag);
  EXPECT_FALSE(choice.needs_iterator());
}

TEST(WalkChoice, does_not_follow_two_lucky_trials) {
  WalkChoice choice;
  for (int round = 0; round < 100; ++round) {
    while (choice.next() == LookSource::kSockDiag) choice.observe(Microseconds(20'000), kSockets);
    choice.observe(round % 3 == 2 ? Microseconds(25'000) : Microseconds(5'000), kSockets);
  }
  EXPECT_EQ(choice.preferred(), LookSource::kSockDiag);
}

TEST(WalkChoice, compares_with_the_walk_just_before) {
  // The machine gets busier and busier; the iterator is always cheaper by a fifth.
  WalkChoice between_pairs;
  WalkChoice within_pairs;
  for (int walk = 0; walk < 8; ++walk) {
    const auto cost = [&](const WalkChoice& choice, int busy) {
      return Microseconds(10'000) * busy * (choice.next() == LookSource::kIterator ? 4 : 5) / 5;
    };
    between_pairs.observe(cost(between_pairs, 1 + walk / 2), kSockets);
    within_pairs.observe(cost(within_pairs, 1 + (walk + 1) / 2), kSockets);
  }
  EXPECT_EQ(between_pairs.preferred(), LookSource::kIterator);
  EXPECT_EQ(within_pairs.preferred(), LookSource::kSockDiag) << "each trial came when everything had become dearer";
}

TEST(WalkChoice, is_not_deceived_by_a_namespace_that_shrinks) {
  WalkChoice choice;
  std::uint64_t sockets = 1'000'000;
  for (int walk = 0; walk < 200; ++walk, sockets = sockets * 4 / 5 + 1) {
    choice.observe(base::Nanoseconds(300 * static_cast<std::int64_t>(sockets)), sockets);
  }
  EXPECT_EQ(choice.preferred(), LookSource::kSockDiag);
}

TEST(WalkChoice, returns_when_sock_diag_has_become_cheaper) {
  WalkChoice choice;
  walk(choice, 8, Microseconds(20'000), Microseconds(15'000));
  ASSERT_EQ(choice.preferred(), LookSource::kIterator);
  walk(choice, WalkChoice::kWalksBetweenTrials + 5, Microseconds(10'000), Microseconds(15'000));
  EXPECT_EQ(choice.preferred(), LookSource::kSockDiag);
}

TEST(WalkChoice, spends_one_walk_in_sixty_one_on_trials) {
  WalkChoice choice;
  walk(choice, 4, Microseconds(20'000), Microseconds(25'000));
  EXPECT_EQ(walk(choice, 610, Microseconds(20'000), Microseconds(25'000)), 10U);
}

}  // namespace
}  // namespace tidewaiter::kernel
