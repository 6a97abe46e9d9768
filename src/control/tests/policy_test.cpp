// SPDX-License-Identifier: Apache-2.0
#include "control/policy.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

namespace tidewaiter::control {
namespace {

using testing::HasSubstr;

/// Another allowed value of a setting, as the file would write it.
std::string other_value(const base::Setting& setting) {
  if (const auto* whole = std::get_if<base::Setting::Whole>(&setting.target)) {
    return fmt::format("{}", *whole->value == whole->minimum ? whole->maximum : whole->minimum);
  }
  if (const auto* real = std::get_if<base::Setting::Real>(&setting.target)) {
    return fmt::format("{}", *real->value == real->maximum ? real->minimum : real->maximum);
  }
  if (const auto* duration = std::get_if<base::Setting::Duration>(&setting.target)) {
    return fmt::format("\"{}\"", base::format_duration(duration->minimum + base::Milliseconds(1'500)));
  }
  const auto& choice = std::get<base::Setting::Choice>(setting.target);
  return fmt::format("\"{}\"", choice.words[choice.get() == 0 ? 1 : 0]);
}

std::string line_of(const base::Setting& setting, const std::string& value) {
  const auto dot = setting.key.rfind('.');
  return fmt::format("[{}]\n{} = {}\n", setting.key.substr(0, dot), setting.key.substr(dot + 1), value);
}

TEST(PolicySettings, each_is_read_back_as_it_was_written) {
  Policy written;
  const auto settings = settings_of(written);
  ASSERT_GT(settings.size(), 60U);
  for (std::size_t place = 0; place < settings.size(); ++place) {
    const std::string value = other_value(settings[place]);
    ASSERT_NE(value, settings[place].value_text()) << settings[place].key;
    const auto changed = base::apply_toml(line_of(settings[place], value), "a.toml", settings);
    ASSERT_TRUE(changed) << settings[place].key << changed.error().message();
    Policy read;
    const auto targets = settings_of(read);
    const auto result = base::apply_toml(base::to_toml(settings), "b.toml", targets);
    ASSERT_TRUE(result) << settings[place].key << result.error().message();
    EXPECT_EQ(targets[place].value_text(), value) << settings[place].key;
    EXPECT_EQ(base::to_toml(targets), base::to_toml(settings));
  }
}

TEST(PolicySettings, have_a_key_each_and_say_what_for) {
  Policy policy;
  std::set<std::string> keys;
  for (const base::Setting& setting : settings_of(policy)) {
    EXPECT_TRUE(keys.insert(setting.key).second) << setting.key;
    EXPECT_FALSE(setting.purpose.empty()) << setting.key;
  }
  for (const Condition& condition : policy.conditions) {
    if (condition.signal == Signal::kOperatorHold) continue;
    const std::string key = fmt::format("control.{}.{}", name(condition.effect), condition.name);
    EXPECT_EQ(keys.count(key), condition.enter ? 1U : 0U) << key;
    EXPECT_EQ(keys.count(key + "_leave"), 1U) << key;
  }
}

TEST(PolicySettings, cannot_declare_that_orders_are_enforced) {
  Policy policy;
  const auto settings = settings_of(policy);
  EXPECT_FALSE(base::apply_toml("[control]\norder_mode = \"enforce\"\n", "a.toml", settings));
  EXPECT_TRUE(base::apply_toml("[control]\nconnection_mode = \"off\"\n", "a.toml", settings));
  EXPECT_EQ(policy.modes, (Modes{Mode::kOff, Mode::kShadow}));
}

TEST(PolicyCheck, accepts_the_defaults) {
  EXPECT_TRUE(check(Policy{}));
  EXPECT_LE(default_conditions().size(), kMostConditions);
}

TEST(PolicyCheck, refuses_a_leave_threshold_on_the_wrong_side_and_names_the_key) {
  for (std::size_t row = 0; row < default_conditions().size(); ++row) {
    Policy policy;
    Condition& condition = policy.conditions[row];
    const bool is_high = condition.comparison == Comparison::kAtLeast;
    if (!condition.enter) continue;
    condition.leave = *condition.enter + (is_high ? 0.001 : -0.001);
    const auto result = check(policy);
    ASSERT_FALSE(result) << condition.name;
    EXPECT_EQ(result.error().code, base::ErrorCode::kInvalidArgument);
    const std::string key = fmt::format("control.{}.{}_leave", name(condition.effect), condition.name);
    EXPECT_THAT(result.error().message(), HasSubstr(key));
    EXPECT_THAT(result.error().hint, HasSubstr(is_high ? "at most" : "at least"));
    condition.leave = *condition.enter;
    EXPECT_TRUE(check(policy)) << condition.name;
  }
}

TEST(PolicyCheck, refuses_a_leave_threshold_that_nothing_clears) {
  Policy policy;
  ASSERT_TRUE(base::apply_toml("[control.orange]\nlocal_failures_leave = 0.0\n", "a.toml", settings_of(policy)));
  const auto result = check(policy);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message(), HasSubstr("control.orange.local_failures_leave = 0"));
}

TEST(PolicyCheck, refuses_more_rows_than_a_step_can_tell_apart) {
  Policy policy;
  policy.conditions.resize(kMostConditions, policy.conditions.front());
  EXPECT_TRUE(check(policy));
  policy.conditions.push_back(policy.conditions.front());
  const auto result = check(policy);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().hint, HasSubstr("32"));
}

TEST(PolicyParameters, are_those_of_the_table) {
  const Policy policy;
  const auto at = [&](State state) { return parameters_of(policy, state, 470); };
  using Order = OrderParameters;
  using Connection = ConnectionParameters;
  using base::Milliseconds;
  EXPECT_EQ(at(State::kGreen).order,
            (Order{1.0, Milliseconds(0), std::nullopt, NonUrgentFlow::kSend, UrgencyOverride::kFree}));
  EXPECT_EQ(at(State::kYellow).order,
            (Order{0.875, Milliseconds(25), 2.0, NonUrgentFlow::kSend, UrgencyOverride::kFree}));
  EXPECT_EQ(at(State::kOrange).order,
            (Order{0.85, Milliseconds(50), 1.2, NonUrgentFlow::kSendCapped, UrgencyOverride::kLogged}));
  EXPECT_EQ(at(State::kRed).order,
            (Order{0.70, Milliseconds(100), 1.0, NonUrgentFlow::kContained, UrgencyOverride::kApproval}));
  EXPECT_EQ(at(State::kGreen).connection,
            (Connection{std::nullopt, std::nullopt, 64, std::nullopt, PoolReuse::kPrefer, OptionalReconnects::kYes}));
  EXPECT_EQ(at(State::kYellow).connection,
            (Connection{5.0, 5.0, 16, 376.0, PoolReuse::kKeepAlive, OptionalReconnects::kPaced}));
  EXPECT_EQ(at(State::kOrange).connection,
            (Connection{2.0, 3.0, 4, 235.0, PoolReuse::kWarmPreferred, OptionalReconnects::kPaused}));
  EXPECT_EQ(at(State::kRed).connection,
            (Connection{0.5, 1.0, 1, 47.0, PoolReuse::kWarmOnly, OptionalReconnects::kFrozen}));
  EXPECT_EQ(policy.modes, (Modes{Mode::kEnforce, Mode::kShadow}));
  EXPECT_EQ(policy.minimum_dwell[place(State::kYellow)], base::Seconds(10));
  EXPECT_EQ(policy.minimum_dwell[place(State::kOrange)], base::Seconds(20));
  EXPECT_EQ(policy.minimum_dwell[place(State::kRed)], base::Seconds(30));
  EXPECT_EQ(policy.stale_after_windows, 3U);
}

TEST(PolicyParameters, get_stricter_with_each_state) {
  const Policy policy;
  for (const State state : {State::kYellow, State::kOrange, State::kRed}) {
    const Parameters here = parameters_of(policy, state, 470);
    const Parameters calmer_one = parameters_of(policy, calmer(state), 470);
    EXPECT_EQ(stricter(here.connection, calmer_one.connection), here.connection) << name(state);
    EXPECT_LT(here.order.clip_scale, calmer_one.order.clip_scale);
    EXPECT_GT(here.order.launch_jitter_max, calmer_one.order.launch_jitter_max);
  }
}

TEST(PolicyParameters, stricter_takes_the_smaller_limit_and_none_for_no_limit) {
  const ConnectionParameters left{std::nullopt, 3.0, 16, 10.0, PoolReuse::kWarmOnly, OptionalReconnects::kYes};
  const ConnectionParameters right{5.0, 2.0, 4, std::nullopt, PoolReuse::kPrefer, OptionalReconnects::kPaused};
  const ConnectionParameters both{5.0, 2.0, 4, 10.0, PoolReuse::kWarmOnly, OptionalReconnects::kPaused};
  EXPECT_EQ(stricter(left, right), both);
  EXPECT_EQ(stricter(right, left), both);
}

}  // namespace
}  // namespace tidewaiter::control
