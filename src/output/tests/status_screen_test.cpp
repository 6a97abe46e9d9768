// SPDX-License-Identifier: Apache-2.0
#include "output/status_screen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidewaiter::output {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Document tuple(const char* state, int port, Document seconds_left = nullptr) {
  return {{"src", "127.0.0.1"},
          {"dst", "127.0.0.1"},
          {"dport", port},
          {"state", state},
          {"ppr", 0.612},
          {"ppr_preferred", 0.98},
          {"live", 12},
          {"time_wait", 1210},
          {"demand_per_s", 52.34},
          {"time_to_exhaustion_s", std::move(seconds_left)}};
}

Document status(const char* state, Document tuples) {
  return {{"schema", "tidewaiter.status/1"},
          {"at", "2026-11-21T09:06:30.407Z"},
          {"instance", "default-12345678"},
          {"netns", "self"},
          {"mode", {{"connection", "enforce"}, {"order", "shadow"}}},
          {"state", state},
          {"since", "2026-11-21T09:06:09.000Z"},
          {"p_stress", 0.64},
          {"reasons",
           {{{"condition", "time_to_exhaustion"},
             {"op", "<"},
             {"value", 22.34},
             {"threshold", 30},
             {"subject", {{"src", "127.0.0.1"}, {"dst", "127.0.0.1"}, {"dport", 9000}}}}}},
          {"parameters", {{"clip_scale", 0.85}, {"launch_jitter_max_ms", 50}, {"catch_up_cap", 1.2}}},
          {"enforced", {{"max_new_connects", 4}, {"connect_rate_per_s", 16.7}, {"pool_reuse", "warm_preferred"}}},
          {"range", {{"lo", 40000}, {"hi", 41999}, {"capacity", 2000}}},
          {"tuples", std::move(tuples)},
          {"tuples_omitted", 0},
          {"observer", {{"pass_us", 2100}, {"interval_ms", 1000}, {"missed_windows", 0}}}};
}

std::string screen(const Document& document, const StatusScreenOptions& options = {}, int columns = 80) {
  Style style;
  style.columns = columns;
  return to_text(status_screen(document, style, options), style);
}

TEST(StatusScreen, tells_state_reasons_with_value_and_threshold_and_what_is_enforced) {
  const std::string text = screen(status("ORANGE", Document::array({tuple("ORANGE", 9000, 22.34)})));
  EXPECT_THAT(text, HasSubstr("ORANGE since 09:06:09 UTC"));
  EXPECT_THAT(text, HasSubstr("time_to_exhaustion 22.3 < 30"));
  EXPECT_THAT(text, HasSubstr("at most 16.7 new/s, 4 in flight"));
  EXPECT_THAT(text, HasSubstr("orders would be: clip 0.85"));
  EXPECT_THAT(text, HasSubstr("61.2 %"));
  EXPECT_THAT(text, HasSubstr("22 s"));
}

TEST(StatusScreen, shows_a_dash_for_what_is_not_known_and_never_a_zero) {
  const std::string text = screen({{"state", "GREEN"}, {"tuples", Document::array({{{"state", "GREEN"}}})}});
  EXPECT_THAT(text, AllOf(HasSubstr("P(stress) –"), Not(HasSubstr("0"))));
}

TEST(StatusScreen, says_never_when_the_demand_is_known_and_the_ports_last) {
  EXPECT_THAT(screen(status("GREEN", Document::array({tuple("GREEN", 9000)}))), HasSubstr("never"));
}

TEST(StatusScreen, puts_the_worst_tuple_first) {
  const std::string text =
      screen(status("RED", Document::array({tuple("GREEN", 9001), tuple("RED", 9002), tuple("YELLOW", 9003)})));
  EXPECT_LT(text.find(":9002"), text.find(":9003"));
  EXPECT_LT(text.find(":9003"), text.find(":9001"));
}

TEST(StatusScreen, keeps_to_the_lines_that_it_is_given_and_counts_the_rest) {
  Document tuples = Document::array();
  for (int i = 0; i < 64; ++i) tuples.push_back(tuple("GREEN", 9000 + i));
  Document document = status("GREEN", tuples);
  document["tuples_omitted"] = 100;
  const Style style;
  ScreenView view;
  view.lines = 23;
  view.has_details = false;
  const auto lines = status_screen(document, style, {view, std::nullopt});
  EXPECT_LE(lines.size(), 23U);
  const std::string text = to_text(lines, style);
  const auto shown = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  EXPECT_THAT(text, HasSubstr("calmer"));
  EXPECT_EQ(shown, lines.size());
}

TEST(StatusScreen, is_no_wider_than_the_terminal) {
  for (const int columns : {80, 100, 140}) {
    Document long_pair = tuple("ORANGE", 65535, 22.3);
    long_pair["src"] = "2001:db8:1111:2222:3333:4444:5555:6666";
    long_pair["dst"] = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
    Style style;
    style.columns = columns;
    for (const Line& line :
         status_screen(status("ORANGE", Document::array({long_pair, tuple("RED", 9000, 0.0)})), style)) {
      int width = 0;
      for (const Span& span : line) width += display_width(span.text);
      EXPECT_LE(width, columns);
    }
  }
}

TEST(StatusScreen, says_that_its_numbers_are_old_when_nothing_is_heard) {
  const std::string text = screen(status("GREEN", Document::array({tuple("GREEN", 9000)})),
                                  {std::nullopt, base::Nanoseconds(base::Seconds(5))});
  EXPECT_THAT(text, AllOf(HasSubstr("No data for 5"), HasSubstr("STALE"), HasSubstr("2026-11-21T09:06:30.407Z")));
}

TEST(StatusScreen, names_the_rows_that_are_off) {
  Document document = status("GREEN", Document::array());
  document["conditions_off"] = {{{"condition", "cfr"}, {"needs", "connect events"}}};
  EXPECT_THAT(screen(document), AllOf(HasSubstr("off without a source: cfr"), HasSubstr("No outbound connection")));
}

TEST(StatusScreen, survives_a_document_of_any_shape) {
  for (const char* text : {"{}", "[]", "null", "3", R"({"tuples":3,"reasons":"x","observer":[]})",
                           R"({"tuples":[1,null,"a",{}],"state":5,"reasons":[1,{}]})"}) {
    EXPECT_NO_THROW(static_cast<void>(screen(Document::parse(text))));
  }
}

TEST(StatusScreen, is_drawn_in_ascii_where_there_is_nothing_else) {
  Style style;
  style.use_unicode = false;
  const std::string text =
      to_text(status_screen(status("ORANGE", Document::array({tuple("ORANGE", 9000, 22.34)})), style), style);
  for (const char character : text) EXPECT_GE(character, 0) << text;
}

}  // namespace
}  // namespace tidewaiter::output
