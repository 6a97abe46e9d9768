// SPDX-License-Identifier: Apache-2.0
#include "kernel/early_failures.h"

#include <gtest/gtest.h>

namespace tidewaiter::kernel {
namespace {

using base::Instant;
using base::Milliseconds;
using base::Seconds;

const telemetry::Tuple kDestination{{}, telemetry::Address::v4(0xc0000201), 9'000};
const telemetry::Tuple kOther{{}, telemetry::Address::v4(0xc0000202), 9'000};

std::uint64_t failed(const EarlyFailures& failures, const telemetry::Tuple& destination = kDestination) {
  const auto found = failures.failed().find(destination);
  return found == failures.failed().end() ? 0 : found->second;
}

TEST(EarlyFailures, are_what_the_programs_counted_and_what_threads_left_long_ago) {
  EarlyFailures failures;
  const std::vector<EnteredCall> calls{{1, Instant(Seconds(1)), kDestination},
                                       {2, Instant(Seconds(2)), kOther},
                                       {3, Instant(Milliseconds(9'500)), kDestination}};
  failures.update({{kDestination, 3}}, calls, Instant(Seconds(10)));
  EXPECT_EQ(failed(failures), 4U) << "the third call may be on its way";
  EXPECT_EQ(failed(failures, kOther), 1U);
}

TEST(EarlyFailures, of_a_thread_that_calls_again_are_told_once) {
  EarlyFailures failures;
  const EnteredCall left{1, Instant(Seconds(1)), kDestination};
  failures.update({}, std::vector{left}, Instant(Seconds(10)));
  EXPECT_EQ(failed(failures), 1U);
  failures.update({}, {}, Instant(Seconds(11)));
  EXPECT_EQ(failed(failures), 1U) << "counted after the counts were read, and gone before the calls were";
  failures.update({{kDestination, 1}}, {}, Instant(Seconds(12)));
  EXPECT_EQ(failed(failures), 1U);
}

TEST(EarlyFailures, of_threads_that_ended_stay) {
  EarlyFailures failures;
  const EnteredCall left{1, Instant(Seconds(1)), kDestination};
  failures.update({}, std::vector{left}, Instant(Seconds(10)));
  failures.bury(left);
  failures.update({{kDestination, 2}}, {}, Instant(Seconds(11)));
  EXPECT_EQ(failed(failures), 3U);
}

}  // namespace
}  // namespace tidewaiter::kernel
