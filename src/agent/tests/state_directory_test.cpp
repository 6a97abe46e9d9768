// SPDX-License-Identifier: Apache-2.0
#include "agent/state_directory.h"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/tests/temporary_directory.h"

namespace tidewaiter::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(StateDirectory, is_made_with_what_leads_to_it) {
  const TemporaryDirectory tmp;
  const auto directory = StateDirectory::open(tmp / "a/b");
  ASSERT_TRUE(directory) << directory.error().message();
  EXPECT_TRUE(std::filesystem::is_directory(tmp / "a/b"));
  EXPECT_EQ(directory->journal(), tmp / "a/b/journal.sqlite3");
  EXPECT_EQ(directory->socket(), tmp / "a/b/agent.sock");
}

TEST(StateDirectory, refuses_a_second_agent_and_names_the_first) {
  const TemporaryDirectory tmp;
  const auto first = StateDirectory::open(tmp / "state");
  ASSERT_TRUE(first);
  const auto second = StateDirectory::open(tmp / "state");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::ErrorCode::kUnavailable);
  EXPECT_THAT(second.error().message(), HasSubstr(fmt::format("process {}", getpid())));
  EXPECT_THAT(second.error().hint, HasSubstr("--state-dir"));
}

TEST(StateDirectory, is_free_again_when_its_agent_has_gone) {
  const TemporaryDirectory tmp;
  { ASSERT_TRUE(StateDirectory::open(tmp / "state")); }
  EXPECT_TRUE(StateDirectory::open(tmp / "state"));
}

TEST(StateDirectory, a_file_in_the_way_is_named) {
  const TemporaryDirectory tmp;
  std::ofstream(tmp / "file") << "not a directory";
  for (const std::string& path : {tmp / "file", tmp / "file/state"}) {
    const auto directory = StateDirectory::open(path);
    ASSERT_FALSE(directory) << path;
    EXPECT_EQ(directory.error().code, base::ErrorCode::kNotPermitted);
    EXPECT_THAT(directory.error().message(), HasSubstr(path));
    EXPECT_THAT(directory.error().hint, HasSubstr("--state-dir"));
  }
}

TEST(StateDirectory, a_directory_that_cannot_be_written_is_refused) {
  // Nobody writes to /proc, root neither.
  const auto directory = StateDirectory::open("/proc/self");
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().code, base::ErrorCode::kNotPermitted);
  EXPECT_THAT(directory.error().hint, HasSubstr("--state-dir"));
}

TEST(StateDirectory, a_lock_that_is_a_link_is_not_followed) {
  const TemporaryDirectory tmp;
  std::filesystem::create_directory(tmp / "state");
  std::ofstream(tmp / "precious") << "precious";
  std::filesystem::create_symlink(tmp / "precious", tmp / "state/lock");
  EXPECT_FALSE(StateDirectory::open(tmp / "state"));
  EXPECT_EQ(std::filesystem::file_size(tmp / "precious"), 8U);
}

TEST(StateDirectory, tells_where_its_agent_listens_while_it_lives) {
  const TemporaryDirectory tmp;
  {
    auto directory = StateDirectory::open(tmp / "state");
    ASSERT_TRUE(directory);
    EXPECT_FALSE(read_address(tmp / "state"));
    ASSERT_TRUE(directory->write_address("127.0.0.1:9650"));
    EXPECT_EQ(read_address(tmp / "state").value(), "127.0.0.1:9650");
    ASSERT_TRUE(directory->write_address("127.0.0.1:9651"));
    EXPECT_EQ(read_address(tmp / "state").value(), "127.0.0.1:9651");
    const StateDirectory moved = std::move(*directory);
    EXPECT_TRUE(read_address(tmp / "state")) << "a move changes nothing";
  }
  const auto gone = read_address(tmp / "state");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, base::ErrorCode::kUnavailable);
  EXPECT_THAT(gone.error().hint, HasSubstr("tidewaiter run"));
  EXPECT_FALSE(std::filesystem::exists(tmp / "state/address.new"));
}

TEST(StateDirectory, an_agent_that_was_refused_leaves_the_address_of_the_other) {
  const TemporaryDirectory tmp;
  auto first = StateDirectory::open(tmp / "state");
  ASSERT_TRUE(first && first->write_address("127.0.0.1:9650"));
  EXPECT_FALSE(StateDirectory::open(tmp / "state"));
  EXPECT_TRUE(read_address(tmp / "state"));
}

TEST(StateDirectory, default_instance_is_stable_and_differs_by_directory) {
  const TemporaryDirectory tmp;
  EXPECT_THAT(default_instance("/var/lib/tidewaiter"), MatchesRegex("default-[0-9a-f]{8}"));
  EXPECT_EQ(default_instance("/var/lib/tidewaiter"), "default-" + default_instance("/var/lib/tidewaiter").substr(8));
  EXPECT_NE(default_instance(tmp / "a"), default_instance(tmp / "b"));
  std::filesystem::create_directory(tmp / "a");
  std::filesystem::create_directory_symlink(tmp / "a", tmp / "link");
  EXPECT_EQ(default_instance(tmp / "link"), default_instance(tmp / "a")) << "it goes by the real path";
}

}  // namespace
}  // namespace tidewaiter::agent
