// SPDX-License-Identifier: Apache-2.0
#include "lab/leftovers.h"

#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tidewaiter::lab {
namespace {

namespace fs = std::filesystem;

/// A process that has certainly ended: a pid that belongs to somebody else now or to nobody.
const ProcessIdentity kGone{1, 999'999'999'999};

/// `sleep 60` with an owner in its environment.
pid_t start_sleeper(const ProcessIdentity& owner) {
  std::string variable = fmt::format("{}={}", kOwnerVariable, owner.to_string());
  char program[] = "sleep";
  char seconds[] = "60";
  char* arguments[] = {program, seconds, nullptr};
  char* environment[] = {variable.data(), nullptr};
  pid_t pid = 0;
  EXPECT_EQ(posix_spawn(&pid, "/bin/sleep", nullptr, nullptr, arguments, environment), 0);
  return pid;
}

TEST(ProcessIdentity, is_read_back_and_knows_who_lives) {
  const ProcessIdentity own = ProcessIdentity::own();
  EXPECT_TRUE(own.is_alive());
  EXPECT_EQ(ProcessIdentity::parse(own.to_string()), own);
  EXPECT_FALSE(kGone.is_alive());
  for (const char* text : {"", "-", "1", "x-1", "1-x", "0-1", "-1-1"}) {
    EXPECT_EQ(ProcessIdentity::parse(text), std::nullopt) << text;
  }
}

TEST(TemporaryDirectory, goes_with_all_that_is_in_it_unless_kept) {
  const auto root = TemporaryDirectory::create(testing::TempDir());
  ASSERT_TRUE(root);
  fs::path gone;
  fs::path kept;
  {
    const auto first = TemporaryDirectory::create(root->path());
    const auto second = TemporaryDirectory::create(root->path(), Keep::kYes);
    ASSERT_TRUE(first && second);
    gone = first->path();
    kept = second->path();
    std::ofstream(gone / "file") << "x";
    EXPECT_TRUE(fs::exists(gone));
  }
  EXPECT_FALSE(fs::exists(gone));
  EXPECT_TRUE(fs::exists(kept));
}

TEST(Leftovers, are_directories_of_labs_that_are_gone) {
  const auto root = TemporaryDirectory::create(testing::TempDir());
  ASSERT_TRUE(root);
  const auto living = TemporaryDirectory::create(root->path());
  const auto kept = TemporaryDirectory::create(root->path(), Keep::kYes);
  ASSERT_TRUE(living && kept);
  const fs::path orphan = root->path() / fmt::format("tidewaiter-lab-{}-abcdef", kGone.to_string());
  const fs::path foreign = root->path() / "something-else";
  fs::create_directories(orphan / "below");
  fs::create_directories(foreign);
  fs::create_directory_symlink(foreign, root->path() / fmt::format("tidewaiter-lab-{}-ghijkl", kGone.to_string()));
  const fs::path of_others = root->path() / fmt::format("tidewaiter-lab-{}-mnopqr", kGone.to_string());
  fs::create_directories(of_others);
  const bool is_of_others = chown(of_others.c_str(), 65'534, 65'534) == 0;  // only root can
  if (!is_of_others) fs::remove(of_others);
  EXPECT_THAT(remove_leftovers(root->path()), testing::ElementsAre(testing::HasSubstr(orphan.string())));
  EXPECT_EQ(fs::exists(of_others), is_of_others);
  EXPECT_FALSE(fs::exists(orphan));
  EXPECT_TRUE(fs::exists(living->path()));
  EXPECT_TRUE(fs::exists(kept->path()));
  EXPECT_TRUE(fs::exists(foreign));
  EXPECT_TRUE(remove_leftovers(root->path()).empty());
}

TEST(Leftovers, are_processes_of_labs_that_are_gone) {
  const pid_t orphan = start_sleeper(kGone);
  const pid_t ours = start_sleeper(ProcessIdentity::own());
  EXPECT_THAT(remove_leftovers("/nonexistent"),
              testing::Contains(testing::HasSubstr(fmt::format("process {} ", orphan))));
  int status = 0;
  EXPECT_EQ(waitpid(orphan, &status, 0), orphan);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(waitpid(ours, &status, WNOHANG), 0) << "a living lab's process goes on";
  kill(ours, SIGKILL);
  waitpid(ours, &status, 0);
}

}  // namespace
}  // namespace tidewaiter::lab
