// SPDX-License-Identifier: Apache-2.0
#include "base/instant.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tidewaiter::base {
namespace {

TEST(Duration, reads_every_unit) {
  EXPECT_EQ(parse_duration("250ms").value(), Milliseconds(250));
  EXPECT_EQ(parse_duration("1s").value(), Seconds(1));
  EXPECT_EQ(parse_duration("2m").value(), Seconds(120));
  EXPECT_EQ(parse_duration("1h").value(), Seconds(3600));
  EXPECT_EQ(parse_duration("40us").value(), Microseconds(40));
  EXPECT_EQ(parse_duration("7ns").value(), Nanoseconds(7));
  EXPECT_EQ(parse_duration("1.5s").value(), Milliseconds(1500));
}

TEST(Duration, refuses_what_is_not_a_number_and_a_unit) {
  for (const char* text :
       {"", "s", "1", "-1s", "1 s", "1sec", "nan", "inf", "nans", "1e3s", "1ss", "99999999999h", "-0s"}) {
    const auto duration = parse_duration(text);
    ASSERT_FALSE(duration) << text;
    EXPECT_EQ(duration.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(duration.error().hint.find("250ms"), std::string::npos);
  }
}

TEST(Duration, survives_the_round_trip) {
  EXPECT_TRUE(rc::check([] {
    const auto duration = Nanoseconds(*rc::gen::inRange<std::int64_t>(0, 1'000'000'000'000'000));
    RC_ASSERT(parse_duration(format_duration(duration)).value() == duration);
  }));
}

TEST(Duration, reads_well_for_people) {
  EXPECT_EQ(humane_duration(Milliseconds(250)), "250 ms");
  EXPECT_EQ(humane_duration(Milliseconds(1500)), "1.5 s");
  EXPECT_EQ(humane_duration(Seconds(59)), "59 s");
  EXPECT_EQ(humane_duration(Seconds(252)), "4 min 12 s");
  EXPECT_EQ(humane_duration(Seconds(7500)), "2 h 5 min");
}

TEST(WallTime, prints_rfc3339_in_utc_with_milliseconds) {
  EXPECT_EQ(to_rfc3339(WallTime(Milliseconds(1'795'234'390'568))), "2026-11-21T04:13:10.568Z");
  EXPECT_EQ(to_rfc3339(WallTime(Nanoseconds(-1))), "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace tidewaiter::base
