// SPDX-License-Identifier: Apache-2.0
#include "kernel/network_namespace.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/census.h"
#include "kernel/testing/private_network.h"

namespace tidewaiter::kernel {
namespace {

ino_t own_namespace() {
  struct stat status {};
  stat("/proc/thread-self/ns/net", &status);
  return status.st_ino;
}

TEST(NetworkNamespace, self_needs_nothing) {
  const auto self = NetworkNamespace::open("self");
  ASSERT_TRUE(self);
  EXPECT_EQ(self->label(), "self");
  EXPECT_TRUE(self->is_still_there());
}

TEST(NetworkNamespace, says_which_names_exist_when_one_does_not) {
  const auto unknown = NetworkNamespace::open("no-such-namespace");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, base::ErrorCode::kNotFound);
  EXPECT_NE(unknown.error().hint.find("/proc/PID/ns/net"), std::string::npos);
}

TEST(NetworkNamespace, refuses_what_is_no_network_namespace) {
  for (const char* path : {"/proc/self/ns/mnt", "/proc/self/status", "/tmp", "", "..", "."}) {
    const auto refused = NetworkNamespace::open(path);
    ASSERT_FALSE(refused) << path;
    EXPECT_EQ(refused.error().code, base::ErrorCode::kInvalidArgument) << path << ": " << refused.error().message();
  }
}

TEST(NetworkNamespace, works_inside_and_comes_back_whatever_happens) {
  const ino_t home = own_namespace();
  std::optional<NetworkNamespace> other;
  {
    auto network = testing::PrivateNetwork::create();
    if (!network) GTEST_SKIP() << network.error().message();
    other = std::move(*NetworkNamespace::open("/proc/thread-self/ns/net"));
  }
  const auto inside = other->run([]() -> base::Result<ino_t> { return own_namespace(); });
  ASSERT_TRUE(inside);
  EXPECT_NE(*inside, home);
  EXPECT_EQ(own_namespace(), home);
  const auto failed = other->run([]() -> base::Result<ino_t> { return base::fail_errno(EIO, "inside"); });
  EXPECT_FALSE(failed);
  EXPECT_EQ(own_namespace(), home);
}

TEST(NetworkNamespace, notices_that_its_name_has_gone) {
  auto network = testing::PrivateNetwork::create();
  if (!network) GTEST_SKIP() << network.error().message();
  // A name is a file over which the namespace is mounted, as `ip netns add` does it.
  const auto name = std::filesystem::temp_directory_path() / ("tidewaiter-name-" + std::to_string(getpid()));
  std::ofstream(name).flush();
  ASSERT_EQ(mount("/proc/thread-self/ns/net", name.c_str(), nullptr, MS_BIND, nullptr), 0);
  auto named = NetworkNamespace::open(name.string());
  ASSERT_TRUE(named);
  EXPECT_TRUE(named->is_still_there());
  Census census(std::move(*named));
  EXPECT_TRUE(census.look({}));
  umount2(name.c_str(), MNT_DETACH);
  const auto gone = census.look({});
  std::filesystem::remove(name);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, base::ErrorCode::kUnavailable);
  EXPECT_NE(gone.error().message().find("has gone"), std::string::npos);
}

}  // namespace
}  // namespace tidewaiter::kernel
