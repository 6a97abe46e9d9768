// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <gtest/gtest.h>

namespace tidewaiter::base {
namespace {

TEST(Result, reads_outermost_context_first) {
  const auto inner = fail_errno(ENOENT, "open /run/netns/blue");
  const auto outer = wrap(inner.value(), "census of 'blue'");
  EXPECT_EQ(outer.value().message(), "census of 'blue': open /run/netns/blue: No such file or directory");
  EXPECT_EQ(outer.value().system_errno, ENOENT);
}

TEST(Result, maps_errno_to_what_the_caller_can_do) {
  EXPECT_EQ(fail_errno(ENOENT, "x").value().code, ErrorCode::kNotFound);
  EXPECT_EQ(fail_errno(EACCES, "x").value().code, ErrorCode::kNotPermitted);
  EXPECT_EQ(fail_errno(EOPNOTSUPP, "x").value().code, ErrorCode::kUnavailable);
  EXPECT_EQ(fail_errno(EIO, "x").value().code, ErrorCode::kInternal);
}

}  // namespace
}  // namespace tidewaiter::base
