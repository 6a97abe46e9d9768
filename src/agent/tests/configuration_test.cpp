// SPDX-License-Identifier: Apache-2.0
#include "agent/configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

namespace tidewaiter::agent {
namespace {

using ::testing::HasSubstr;

std::string why_not(std::string_view text) {
  Configuration configuration;
  const auto applied = apply(text, "a.toml", configuration);
  if (applied) return "accepted";
  EXPECT_EQ(applied.error().code, base::ErrorCode::kInvalidArgument);
  return applied.error().message() + "; " + applied.error().hint;
}

TEST(Configuration, reaches_the_options_of_every_room) {
  Configuration configuration;
  const auto applied = apply(R"(
[look]
full_up_to_sockets = 7
[demand]
fast = "3s"
[forecast]
cliff_share = 0.02
[agent]
max_pass_share = 0.1
[journal]
max_mib = 100
[control]
order_mode = "off"
)",
                             "a.toml", configuration);
  ASSERT_TRUE(applied) << applied.error().message();
  EXPECT_EQ(configuration.look.full_up_to_sockets, 7U);
  EXPECT_EQ(configuration.demand.fast, base::Seconds(3));
  EXPECT_EQ(configuration.outlook.forecast.cliff_share, 0.02);
  EXPECT_EQ(configuration.pace.max_share, 0.1);
  EXPECT_EQ(configuration.policy.modes.order, control::Mode::kOff);
  Configuration untouched;
  const auto before = base::to_toml(settings_of(untouched));
  const auto after = base::to_toml(settings_of(configuration));
  EXPECT_THAT(before, HasSubstr("max_mib = 512"));
  EXPECT_THAT(after, HasSubstr("max_mib = 100"));
}

TEST(Configuration, what_it_prints_it_accepts) {
  Configuration configuration;
  const std::string text = base::to_toml(settings_of(configuration));
  Configuration again;
  const auto applied = apply(text, "a.toml", again);
  ASSERT_TRUE(applied) << applied.error().message();
  EXPECT_EQ(base::to_toml(settings_of(again)), text);
}

TEST(Configuration, no_two_settings_share_a_key) {
  Configuration configuration;
  std::set<std::string> keys;
  for (const base::Setting& setting : settings_of(configuration)) {
    EXPECT_TRUE(keys.insert(setting.key).second) << setting.key;
    EXPECT_FALSE(setting.purpose.empty()) << setting.key;
  }
  EXPECT_GT(keys.size(), 60U);
}

TEST(Configuration, unknown_key_is_named_with_its_place) {
  EXPECT_THAT(why_not("[agent]\nmax_share = 0.1\n"), HasSubstr("a.toml:2:1: unknown setting 'agent.max_share'"));
}

TEST(Configuration, value_out_of_range_says_what_is_allowed) {
  EXPECT_THAT(why_not("[agent]\nmax_pass_share = 0.9\n"),
              ::testing::AllOf(HasSubstr("a.toml:2:"), HasSubstr("from 0.001 to 0.5")));
}

TEST(Configuration, thresholds_that_contradict_each_other_are_refused_with_the_file) {
  EXPECT_THAT(why_not("[control.yellow]\nppr_preferred = 0.5\nppr_preferred_leave = 0.6\n"),
              ::testing::AllOf(HasSubstr("a.toml"), HasSubstr("ppr_preferred"), HasSubstr("0.5"), HasSubstr("0.6")));
}

TEST(Configuration, no_text_changes_nothing) { EXPECT_EQ(why_not(""), "accepted"); }

}  // namespace
}  // namespace tidewaiter::agent
