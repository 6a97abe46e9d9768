// SPDX-License-Identifier: Apache-2.0
#include "base/settings.h"

#include <gtest/gtest.h>

namespace tidewaiter::base {
namespace {

struct Options {
  enum class How : std::uint8_t { kOnce, kOften };
  How how = How::kOnce;
  std::uint64_t sockets = 10;
  double share = 0.5;
  Nanoseconds pace = Seconds(1);
};

std::vector<Setting> settings_of(Options& options) {
  return {{"look.sockets", "sockets", "", Setting::Whole{&options.sockets, 1, 100}},
          {"look.share", "ratio", "", Setting::Real{&options.share, 0, 1}},
          {"look.how", "", "", Setting::choice(options.how, {"once", "often"})},
          {"pace", "", "", Setting::Duration{&options.pace, Milliseconds(100), Seconds(60)}}};
}

TEST(Settings, take_what_the_file_says_and_keep_the_rest) {
  Options options;
  const auto settings = settings_of(options);
  ASSERT_TRUE(apply_toml("pace = \"250ms\"\n[look]\nshare = 1\n", "a.toml", settings));
  EXPECT_EQ(options.pace, Milliseconds(250));
  EXPECT_DOUBLE_EQ(options.share, 1.0);
  EXPECT_EQ(options.sockets, 10U);
}

struct BadFile {
  const char* text;
  const char* place;
  const char* allowed;
};

class RefusedFiles : public ::testing::TestWithParam<BadFile> {};

TEST_P(RefusedFiles, name_place_and_what_is_allowed_and_change_nothing) {
  Options options;
  const auto settings = settings_of(options);
  const auto applied = apply_toml(GetParam().text, "a.toml", settings);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(applied.error().message().find(GetParam().place), std::string::npos) << applied.error().message();
  EXPECT_NE(applied.error().hint.find(GetParam().allowed), std::string::npos) << applied.error().hint;
  EXPECT_EQ(options.sockets, 10U);
  EXPECT_EQ(options.pace, Seconds(1));
}

INSTANTIATE_TEST_SUITE_P(
    Settings, RefusedFiles,
    ::testing::Values(BadFile{"[look]\nsockets = 5\nsocket = 5\n", "a.toml:3:1: unknown setting 'look.socket'",
                              "[look] has: sockets, share"},
                      BadFile{"[look]\nsockets = 101\n", "a.toml:2:11", "a whole number from 1 to 100"},
                      BadFile{"[look]\nsockets = -1\n", "a.toml:2:11", "from 1 to 100"},
                      BadFile{"[look]\nsockets = 5.0\n", "a.toml:2:11", "a whole number"},
                      BadFile{"[look]\nsockets = \"5\"\n", "a.toml:2:11", "a whole number"},
                      BadFile{"[look]\nshare = nan\n", "a.toml:2:9", "a number from 0 to 1"},
                      BadFile{"pace = 1\n", "a.toml:1:8", "a duration in quotes from \"100ms\" to \"1m\""},
                      BadFile{"pace = \"61s\"\n", "a.toml:1:8", "to \"1m\""},
                      BadFile{"[look]\nsockets = 5\npace = [\n", "a.toml:", "TOML"},
                      BadFile{"look = 1\n", "a.toml:1:1: unknown setting 'look'", "tables: [look]"},
                      BadFile{"[look]\nhow = \"never\"\n", "a.toml:2:7", "look.how takes one of \"once\", \"often\""},
                      BadFile{"[look]\nhow = 1\n", "a.toml:2:7", "one of"}));

TEST(Settings, are_read_back_from_what_is_written) {
  Options options;
  options.pace = Milliseconds(250);
  options.how = Options::How::kOften;
  const std::string text = to_toml(settings_of(options));
  EXPECT_EQ(text, "pace = \"250ms\"\n\n[look]\nsockets = 10\nshare = 0.5\nhow = \"often\"\n");
  Options read;
  ASSERT_TRUE(apply_toml(text, "a.toml", settings_of(read)));
  EXPECT_EQ(read.pace, options.pace);
  EXPECT_EQ(read.how, options.how);
}

}  // namespace
}  // namespace tidewaiter::base
