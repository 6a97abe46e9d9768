// SPDX-License-Identifier: Apache-2.0
#include "output/status_screen.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <utility>

namespace tidewaiter::output {
namespace {

constexpr int kStateColumns = 7;
constexpr int kBarColumns = 8;
constexpr int kFigureColumns = 8 + 1 + kBarColumns + 7 + 7 + 7 + 9;
constexpr double kHigh = 0.7;
constexpr double kMiddle = 0.4;
constexpr const char* kUnknown = "–";

const Document& at(const Document& document, const char* field) {
  static const Document kNothing;
  if (!document.is_object()) return kNothing;
  const auto found = document.find(field);
  return found == document.end() ? kNothing : *found;
}

std::string text_at(const Document& document, const char* field, std::string otherwise = kUnknown) {
  const Document& value = at(document, field);
  return value.is_string() ? value.get<std::string>() : std::move(otherwise);
}

std::optional<double> number_at(const Document& document, const char* field) {
  const Document& value = at(document, field);
  if (!value.is_number()) return std::nullopt;
  return value.get<double>();
}

template <class Write>
std::string known(const std::optional<double>& value, const Write& write) {
  return value ? write(*value) : std::string(kUnknown);
}

std::string percent(double ratio) { return fmt::format("{:.1f} %", ratio * 100); }
std::string whole(double number) { return grouped(static_cast<std::uint64_t>(std::max(number, 0.0))); }

/// Up to three significant digits, no exponent, no trailing zeros.
std::string figure(double number) {
  if (std::abs(number) >= 100 || number == std::floor(number)) return fmt::format("{:.0f}", number);
  return std::abs(number) >= 10 ? fmt::format("{:.1f}", number) : fmt::format("{:.2f}", number);
}

Tone tone_of_state(const std::string& state) {
  if (state == "GREEN") return Tone::kGood;
  if (state == "YELLOW") return Tone::kWarning;
  return Tone::kBad;
}

Tone tone_of_ratio(const std::optional<double>& ratio) {
  if (!ratio || *ratio >= kHigh) return Tone::kBad;
  return *ratio >= kMiddle ? Tone::kWarning : Tone::kGood;
}

std::string endpoint(const Document& tuple) {
  const std::string destination = text_at(tuple, "dst");
  const bool is_v6 = destination.find(':') != std::string::npos;
  return fmt::format("{} → {}{}{}:{}", text_at(tuple, "src"), is_v6 ? "[" : "", destination, is_v6 ? "]" : "",
                     known(number_at(tuple, "dport"), [](double port) { return fmt::format("{:.0f}", port); }));
}

std::string reason_text(const Document& reason) {
  const std::string condition = text_at(reason, "condition");
  const std::string sign = text_at(reason, "op") == ">=" ? "≥" : "<";
  std::string text = fmt::format("{} {} {} {}", condition, known(number_at(reason, "value"), figure), sign,
                                 known(number_at(reason, "threshold"), figure));
  if (condition == "clear_for_s") text += " s: steps down after that";
  if (at(reason, "subject").is_object()) text += "  " + endpoint(at(reason, "subject"));
  return text;
}

std::string since_text(const Document& status) {
  const std::string since = text_at(status, "since");
  return since.size() >= 19 ? fmt::format("since {} UTC", since.substr(11, 8)) : "since " + since;
}

Line title(const Document& status) {
  const auto interval = number_at(at(status, "observer"), "interval_ms");
  std::string text =
      fmt::format("  {}  {}  {}", text_at(status, "instance"), text_at(status, "netns"), text_at(status, "at"));
  if (interval) text += "  every " + base::format_duration(base::Milliseconds(std::lround(*interval)));
  text += fmt::format("  tier {}", known(number_at(at(status, "tiers"), "active"), figure));
  return {{Tone::kStrong, "tidewaiter"}, {Tone::kPlain, text}};
}

Line headline(const Document& status, const StatusScreenOptions& options) {
  const std::string state = options.silent_for ? "STALE" : text_at(status, "state");
  const Document& mode = at(status, "mode");
  return {
      {tone_of_state(state), state},
      {Tone::kPlain,
       fmt::format("{}  P(stress) {}  ", options.silent_for ? "" : " " + since_text(status),
                   known(number_at(status, "p_stress"), [](double p) { return fmt::format("{:.2f}", p); }))},
      {Tone::kFaint, fmt::format("connections: {}, orders: {}", text_at(mode, "connection"), text_at(mode, "order"))}};
}

/// What is to be obeyed about connections, and what the state would ask of orders.
std::vector<std::string> prescriptions(const Document& status) {
  const Document& enforced = at(status, "enforced");
  const Document& detected = at(status, "parameters");
  std::vector<std::string> texts;
  const auto rate = number_at(enforced, "connect_rate_per_s");
  const auto retries = number_at(enforced, "retry_rate_per_s");
  texts.push_back(fmt::format("connections: {}, {} in flight, {}, pool {}, reconnects {}",
                              rate ? fmt::format("at most {} new/s", figure(*rate)) : "no rate limit",
                              known(number_at(enforced, "max_new_connects"), whole),
                              retries ? fmt::format("retries {}/s, burst {}", figure(*retries),
                                                    known(number_at(enforced, "retry_burst"), figure))
                                      : "retries as they are",
                              text_at(enforced, "pool_reuse"), text_at(enforced, "optional_reconnects")));
  const bool acts = text_at(at(status, "mode"), "order") == "enforce";
  const auto cap = number_at(detected, "catch_up_cap");
  texts.push_back(fmt::format("orders {}: clip {}, jitter ≤ {} ms, catch-up {}, non-urgent {}, override {}",
                              acts ? "are" : "would be", known(number_at(detected, "clip_scale"), figure),
                              known(number_at(detected, "launch_jitter_max_ms"), figure),
                              cap ? "≤ " + figure(*cap) : "as it is", text_at(detected, "non_urgent_flow"),
                              text_at(detected, "urgency_override")));
  return texts;
}

std::string out_of_ports(const Document& tuple) {
  if (!number_at(tuple, "demand_per_s")) return kUnknown;
  const auto time = number_at(tuple, "time_to_exhaustion_s");
  if (!time) return "never";
  return *time <= 0 ? "now" : base::humane_duration(base::Nanoseconds(std::llround(*time * 1e9)));
}

/// The parity that connect() tries first: "EVEN" or "ODD".
std::string preferred_parity(const Document& status) {
  const std::string name = text_at(at(status, "range"), "preferred", "first");
  std::string upper;
  for (const char letter : name)
    upper += static_cast<char>(letter >= 'a' && letter <= 'z' ? letter - 'a' + 'A' : letter);
  return upper;
}

Line tuple_header(const Document& status, const Style& style) {
  return {{Tone::kFaint, fit_left(style, "STATE", kStateColumns) +
                             fit_left(style, "SOURCE → DESTINATION", style.columns - kStateColumns - kFigureColumns) +
                             column(style, "IN USE", 8) + " " + fit_left(style, preferred_parity(status), kBarColumns) +
                             column(style, "LIVE", 7) + column(style, "T_WAIT", 7) + column(style, "CONN/S", 7) +
                             column(style, "RUNS OUT", 9)}};
}

Line tuple_line(const Document& tuple, const Style& style) {
  const std::string state = text_at(tuple, "state");
  const auto ratio = number_at(tuple, "ppr");
  const auto preferred = number_at(tuple, "ppr_preferred");
  return {{tone_of_state(state), fit_left(style, state, kStateColumns)},
          {Tone::kPlain, fit_left(style, endpoint(tuple), style.columns - kStateColumns - kFigureColumns)},
          {tone_of_ratio(ratio), column(style, known(ratio, percent), 8)},
          {Tone::kPlain, " "},
          {tone_of_ratio(preferred), preferred ? bar(style, std::clamp(*preferred, 0.0, 1.0), kBarColumns)
                                               : fit_left(style, kUnknown, kBarColumns)},
          {Tone::kPlain, column(style, known(number_at(tuple, "live"), whole), 7) +
                             column(style, known(number_at(tuple, "time_wait"), whole), 7) +
                             column(style, known(number_at(tuple, "demand_per_s"), figure), 7) +
                             column(style, out_of_ports(tuple), 9)}};
}

int severity(const Document& tuple) {
  const std::string state = text_at(tuple, "state");
  const std::vector<std::string> states{"GREEN", "YELLOW", "ORANGE", "RED", "STALE"};
  return static_cast<int>(std::find(states.begin(), states.end(), state) - states.begin());
}

std::vector<const Document*> by_severity(const Document& tuples) {
  std::vector<const Document*> order;
  if (!tuples.is_array()) return order;
  for (const Document& tuple : tuples) order.push_back(&tuple);
  std::stable_sort(order.begin(), order.end(),
                   [](const Document* left, const Document* right) { return severity(*left) > severity(*right); });
  return order;
}

std::vector<Line> footer(const Document& status) {
  const Document& observer = at(status, "observer");
  const Document& range = at(status, "range");
  std::vector<Line> lines;
  lines.push_back(
      {{Tone::kFaint,
        fmt::format("ports {}-{}, {} for each destination; a pass takes {}; {} windows missed",
                    known(number_at(range, "lo"), figure), known(number_at(range, "hi"), figure),
                    known(number_at(range, "capacity"), whole),
                    known(number_at(observer, "pass_us"),
                          [](double us) { return base::humane_duration(base::Microseconds(std::lround(us))); }),
                    known(number_at(observer, "missed_windows"), whole))}});
  if (const std::string error = text_at(observer, "last_error", ""); !error.empty()) {
    lines.push_back({{Tone::kBad, "the last window was missed: " + error}});
  }
  const Document& off = at(status, "conditions_off");
  if (off.is_array() && !off.empty()) {
    std::string names;
    for (const Document& row : off) {
      const std::string name = text_at(row, "condition");
      if (names.find(name) == std::string::npos) names += (names.empty() ? "" : ", ") + name;
    }
    lines.push_back({{Tone::kFaint, "off without a source: " + names}});
  }
  return lines;
}

void add_wrapped(std::vector<Line>& lines, Tone tone, const std::string& text, const Style& style, int indent) {
  const std::string broken =
      wrapped(std::string(static_cast<std::size_t>(indent), ' ') + text, style.columns, indent + 2);
  for (std::size_t begin = 0; begin <= broken.size();) {
    const std::size_t end = std::min(broken.find('\n', begin), broken.size());
    lines.push_back({{tone, broken.substr(begin, end - begin)}});
    begin = end + 1;
  }
}

std::vector<Line> head(const Document& status, const Style& style, const StatusScreenOptions& options) {
  std::vector<Line> lines{title(status)};
  if (options.silent_for) {
    lines.push_back({{Tone::kBad, fmt::format("No data for {}: the numbers below are from {}.",
                                              base::humane_duration(*options.silent_for), text_at(status, "at"))}});
  }
  lines.push_back(headline(status, options));
  const Document& reasons = at(status, "reasons");
  if (reasons.is_array()) {
    for (const Document& reason : reasons) add_wrapped(lines, Tone::kPlain, reason_text(reason), style, 2);
  }
  if (text_at(status, "state") != "GREEN" && !options.silent_for) {
    for (const std::string& text : prescriptions(status)) add_wrapped(lines, Tone::kFaint, text, style, 0);
  }
  lines.emplace_back();
  return lines;
}

}  // namespace

std::vector<Line> status_screen(const Document& status, const Style& style, const StatusScreenOptions& options) {
  std::vector<Line> lines = head(status, style, options);
  std::vector<Line> end{{}};
  for (const Line& line : footer(status)) {
    for (const Span& span : line) add_wrapped(end, span.tone, span.text, style, 0);
  }
  const auto tuples = by_severity(at(status, "tuples"));
  if (tuples.empty()) {
    lines.push_back({{Tone::kPlain, "No outbound connection holds a port."}});
  } else {
    lines.push_back(tuple_header(status, style));
    std::size_t room = tuples.size();
    if (options.lines) {
      const int left = *options.lines - static_cast<int>(lines.size() + end.size()) - 1;
      room = std::min(room, static_cast<std::size_t>(std::max(left, 1)));
    }
    for (std::size_t i = 0; i < room; ++i) lines.push_back(tuple_line(*tuples[i], style));
    const auto omitted = static_cast<std::size_t>(number_at(status, "tuples_omitted").value_or(0));
    if (const std::size_t more = tuples.size() - room + omitted; more > 0) {
      lines.push_back({{Tone::kFaint, fmt::format("and {} more, calmer", grouped(more))}});
    }
  }
  lines.insert(lines.end(), std::make_move_iterator(end.begin()), std::make_move_iterator(end.end()));
  if (options.lines && lines.size() > static_cast<std::size_t>(*options.lines)) {
    lines.resize(static_cast<std::size_t>(std::max(*options.lines, 1)));
  }
  if (!style.use_unicode) {
    for (Line& line : lines) {
      for (Span& span : line) span.text = in_ascii(std::move(span.text));
    }
  }
  return lines;
}

std::string to_text(const std::vector<Line>& lines, const Style& style) {
  std::string text;
  for (const Line& line : lines) {
    for (const Span& span : line) text += paint(style, span.tone, span.text);
    text += "\n";
  }
  return text;
}

}  // namespace tidewaiter::output
