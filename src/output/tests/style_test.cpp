// SPDX-License-Identifier: Apache-2.0
#include "output/style.h"

#include <array>
#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tidewaiter::output {
namespace {

const Style kAscii{false, false, 80};

TEST(Bar, fills_its_share_and_shows_every_trace) {
  EXPECT_EQ(bar({}, 0.0, 4), "····");
  EXPECT_EQ(bar({}, 1.0, 4), "████");
  EXPECT_EQ(bar({}, 0.5, 4), "██··");
  EXPECT_EQ(bar({}, 0.0001, 4), "▏···") << "a trace is not nothing";
  EXPECT_EQ(bar({}, 0.9999, 4), "███▉") << "nearly full is not full";
  EXPECT_EQ(bar(kAscii, 0.5, 4), "##..");
}

TEST(Strip, scales_to_the_largest_value_and_draws_small_ones) {
  const std::array<std::uint32_t, 4> values{0, 1, 500, 1000};
  EXPECT_EQ(strip({}, values), "·▁▄█");
  EXPECT_EQ(strip(kAscii, values), "..=@");
  EXPECT_EQ(strip({}, {}), "");
}

TEST(Fit, gives_exactly_the_width_for_any_text) {
  EXPECT_EQ(fit_left({}, "ab", 4), "ab  ");
  EXPECT_EQ(fit_right({}, "ab", 4), "  ab");
  EXPECT_EQ(fit_left({}, "127.0.0.1 → [2001:db8::1]:9000", 20), "127.0.0.1…8::1]:9000");
  EXPECT_TRUE(rc::check([] {
    const auto text = *rc::gen::container<std::string>(rc::gen::inRange('a', 'z'));
    const auto width = *rc::gen::inRange(1, 40);
    RC_ASSERT(display_width(fit_left({}, text, width)) == width);
    RC_ASSERT(display_width(fit_right(kAscii, text, width)) == width);
  }));
}

TEST(Grouped, sets_digits_in_threes) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(28'232), "28,232");
  EXPECT_EQ(grouped(1'234'567), "1,234,567");
}

TEST(Wrapped, breaks_at_spaces) {
  EXPECT_EQ(wrapped("one two three", 8, 2), "one two\n  three");
  EXPECT_EQ(wrapped("", 8, 2), "");
}

}  // namespace
}  // namespace tidewaiter::output
