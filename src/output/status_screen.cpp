// SPDX-License-Identifier: Apache-2.0
#include "output/status_screen.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>
#include <utility>

#include "output/document_fields.h"
#include "output/tuple_details.h"

namespace tidewaiter::output {
namespace {

constexpr int kTallLines = 32;  ///< enough for everything and details
constexpr std::size_t kMostProcesses = 8;
constexpr std::size_t kFewProcesses = 3;
constexpr std::size_t kMostFailing = 3;  ///< tuples of which a text tells the details

std::string reason_text(const Document& reason) {
  const std::string condition = text_at(reason, "condition");
  const std::string sign = text_at(reason, "op") == ">=" ? "≥" : "<";
  std::string text = fmt::format("{} {} {} {}", condition, known(number_at(reason, "value"), figure), sign,
                                 known(number_at(reason, "threshold"), figure));
  if (condition == "clear_for_s") text += " s: steps down after that";
  if (at(reason, "subject").is_object()) text += "  " + endpoint_text(at(reason, "subject"));
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

/// "bpf_state, bpf_connect need CAP_BPF": what is missing, by what it needs.
std::string missing_sources(const Document& sources) {
  std::vector<std::pair<std::string, std::vector<std::string>>> by_need;
  for (const Document& source : sources) {
    if (at(source, "active") == Document(true)) continue;
    const std::string need = text_at(source, "needs", "what is not known");
    const auto same = std::find_if(by_need.begin(), by_need.end(), [&](const auto& row) { return row.first == need; });
    auto& row = same == by_need.end() ? by_need.emplace_back(need, std::vector<std::string>()) : *same;
    row.second.push_back(text_at(source, "name"));
  }
  std::string text;
  for (const auto& [need, names] : by_need) {
    text += fmt::format("{}{} need{} {}", text.empty() ? "" : "; ", fmt::join(names, ", "),
                        names.size() == 1 ? "s" : "", need);
  }
  return text;
}

void add_sources(std::vector<Line>& lines, const Document& status) {
  const Document& sources = at(at(status, "tiers"), "sources");
  if (!sources.is_array()) return;
  const auto active = std::count_if(sources.begin(), sources.end(),
                                    [](const Document& source) { return at(source, "active") == Document(true); });
  const std::string missing = missing_sources(sources);
  lines.push_back({{Tone::kFaint, fmt::format("sources: {} of {}{}", active, sources.size(),
                                              missing.empty() ? "" : "; " + missing)}});
}

/// Processes whose connects nobody here can see: what is calm may be so for that reason.
void add_blind(std::vector<Line>& lines, const Document& status) {
  const Document& processes = at(at(status, "blind"), "processes");
  if (!processes.is_array() || processes.empty()) return;
  std::string names;
  for (const Document& process : processes) {
    names += fmt::format("{}{} ({}, {})", names.empty() ? "" : ", ", text_at(process, "comm"),
                         known(number_at(process, "pid"), [](double pid) { return fmt::format("{:.0f}", pid); }),
                         text_at(process, "kind"));
  }
  lines.push_back({{Tone::kWarning, "blind here, past the kernel: " + names}});
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
  add_blind(lines, status);
  add_sources(lines, status);
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

std::vector<Line> head(const Document& status, const Style& style, const StatusScreenOptions& options) {
  std::vector<Line> lines{title(status)};
  if (options.silent_for) {
    lines.push_back({{Tone::kBad, fmt::format("No data for {}: the numbers below are from {}.",
                                              base::humane_duration(*options.silent_for), text_at(status, "at"))}});
  }
  lines.push_back(headline(status, options));
  const Document& reasons = at(status, "reasons");
  if (reasons.is_array()) {
    for (const Document& reason : reasons) add_wrapped(lines, {Tone::kPlain, reason_text(reason)}, style, 2);
  }
  const bool has_room = !options.view || !options.view->has_details || options.view->lines >= kTallLines;
  if (text_at(status, "state") != "GREEN" && !options.silent_for && has_room) {
    for (const std::string& text : prescriptions(status)) add_wrapped(lines, {Tone::kFaint, text}, style);
  }
  lines.emplace_back();
  return lines;
}

std::vector<Line> foot(const Document& status, const Style& style) {
  std::vector<Line> lines{{}};
  for (const Line& line : footer(status)) {
    for (const Span& span : line) add_wrapped(lines, span, style);
  }
  return lines;
}

void append(std::vector<Line>& lines, std::vector<Line> more) {
  lines.insert(lines.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

std::size_t omitted_tuples(const Document& status) {
  return static_cast<std::size_t>(std::max(number_at(status, "tuples_omitted").value_or(0), 0.0));
}

/// Everything, to be read from top to bottom: where the terminal is narrow connects have a table of their own, and the
/// tuples that fail most are told in detail.
std::vector<Line> text_body(const Document& status, const Style& style) {
  std::vector<Line> lines;
  const auto tuples = tuples_in_order(status, TupleOrder::kPressure);
  const bool is_seen =
      std::any_of(tuples.begin(), tuples.end(), [](const Document* row) { return has_connects(*row); });
  const bool is_wide = style.columns >= kWideColumns;
  const TupleColumns columns = is_seen && is_wide ? TupleColumns::kBoth : TupleColumns::kPorts;
  lines.push_back(tuple_header(status, columns, style));
  for (const Document* tuple : tuples) lines.push_back(tuple_line(*tuple, columns, false, style));
  if (const std::size_t more = omitted_tuples(status); more > 0) {
    lines.push_back({{Tone::kFaint, fmt::format("and {} more, calmer", grouped(more))}});
  }
  if (!is_seen) return lines;
  const auto failing = tuples_in_order(status, TupleOrder::kFailures);
  const auto is_quiet = [](const Document* tuple) { return !number_at(*tuple, "attempts"); };
  const auto end = std::find_if(failing.begin(), failing.end(), is_quiet);
  if (!is_wide && end != failing.begin()) {
    lines.emplace_back();
    lines.push_back(tuple_header(status, TupleColumns::kConnects, style));
    for (auto tuple = failing.begin(); tuple != end; ++tuple) {
      lines.push_back(tuple_line(**tuple, TupleColumns::kConnects, false, style));
    }
  }
  const auto last = failing.begin() + std::min<std::ptrdiff_t>(end - failing.begin(), kMostFailing);
  for (auto tuple = failing.begin(); tuple != last && number_at(**tuple, "cfr").value_or(0) > 0; ++tuple) {
    lines.emplace_back();
    append(lines, tuple_details(status, **tuple, kMostProcesses, style));
  }
  return lines;
}

/// The tuples around the selected one, in at most `room` lines.
std::vector<Line> tuples_in_view(const std::vector<const Document*>& tuples, std::size_t selected, std::size_t room,
                                 TupleColumns columns, const Style& style) {
  std::vector<Line> lines;
  const std::size_t first = selected < room ? 0 : selected - room + 1;
  for (std::size_t i = first; i < std::min(first + room, tuples.size()); ++i) {
    lines.push_back(tuple_line(*tuples[i], columns, i == selected, style));
  }
  return lines;
}

TupleColumns columns_of(const ScreenView& view, bool is_seen, const Style& style) {
  if (style.columns >= kWideColumns && is_seen) return TupleColumns::kBoth;
  return view.order == TupleOrder::kPressure ? TupleColumns::kPorts : TupleColumns::kConnects;
}

/// What fits: the details of the selected tuple come before the other tuples, and these before the footer.
std::vector<Line> view_body(const Document& status, const ScreenView& view, std::size_t room, const Style& style) {
  const auto tuples = tuples_in_order(status, view.order);
  const auto place = std::find_if(tuples.begin(), tuples.end(),
                                  [&](const Document* tuple) { return identity_of(*tuple) == view.selected; });
  const std::size_t selected = place == tuples.end() ? 0 : static_cast<std::size_t>(place - tuples.begin());
  std::vector<Line> details;
  if (view.has_details) {
    details.emplace_back();
    append(details,
           tuple_details(status, *tuples[selected], view.lines >= kTallLines ? kMostProcesses : kFewProcesses, style));
  }
  constexpr std::size_t kFewestTuples = 2;
  const std::size_t fixed = 2;  // the header and the line that counts the rest
  const std::size_t most = room - std::min(room, fixed + kFewestTuples);
  if (details.size() > most) details.resize(most);
  const std::size_t left = room - std::min(room, fixed + details.size());
  const std::size_t shown = std::min(tuples.size(), std::max<std::size_t>(left, 1));
  const bool is_seen =
      std::any_of(tuples.begin(), tuples.end(), [](const Document* row) { return has_connects(*row); });
  const TupleColumns columns = columns_of(view, is_seen, style);
  std::vector<Line> lines{tuple_header(status, columns, style)};
  append(lines, tuples_in_view(tuples, selected, shown, columns, style));
  if (const std::size_t more = tuples.size() - shown + omitted_tuples(status); more > 0) {
    const char* const kind = view.order == TupleOrder::kPressure ? ", calmer" : "";
    lines.push_back({{Tone::kFaint, fmt::format("and {} more{}", grouped(more), kind)}});
  }
  append(lines, std::move(details));
  return lines;
}

}  // namespace

std::vector<Line> status_screen(const Document& status, const Style& style, const StatusScreenOptions& options) {
  std::vector<Line> lines = head(status, style, options);
  std::vector<Line> end = foot(status, style);
  const Document& tuples = at(status, "tuples");
  if (!tuples.is_array() || tuples.empty()) {
    lines.push_back({{Tone::kPlain, "No outbound connection holds a port."}});
  } else if (!options.view) {
    append(lines, text_body(status, style));
  } else {
    const auto height = static_cast<std::size_t>(std::max(options.view->lines, 1));
    if (options.view->has_details && options.view->lines < kTallLines) end.clear();
    append(lines, view_body(status, *options.view, height - std::min(height, lines.size() + end.size()), style));
  }
  append(lines, std::move(end));
  if (options.view && lines.size() > static_cast<std::size_t>(std::max(options.view->lines, 1))) {
    lines.resize(static_cast<std::size_t>(std::max(options.view->lines, 1)));
  }
  if (!style.use_unicode) {
    for (Line& line : lines) {
      for (Span& span : line) span.text = in_ascii(std::move(span.text));
    }
  }
  return lines;
}

}  // namespace tidewaiter::output
