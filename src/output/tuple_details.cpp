// SPDX-License-Identifier: Apache-2.0
#include "output/tuple_details.h"

#include <algorithm>
#include <fmt/format.h>
#include <string>
#include <utility>

#include "output/document_fields.h"
#include "output/tuple_table.h"

namespace tidewaiter::output {
namespace {

std::string in_words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

/// "refused 20, timeout 14"; empty when nothing failed.
std::string causes_text(const Document& connects) {
  std::vector<std::pair<double, std::string>> causes;
  const Document& failures = at(connects, "failures");
  if (failures.is_object()) {
    for (const auto& [cause, count] : failures.items()) {
      if (cause != "aborted" && count.is_number() && count.get<double>() > 0) {
        causes.emplace_back(count.get<double>(), in_words(cause));
      }
    }
  }
  if (const double unseen = number_at(connects, "pre_syn_unattributed").value_or(0); unseen > 0) {
    causes.emplace_back(unseen, "before a SYN");
  }
  std::stable_sort(causes.begin(), causes.end(),
                   [](const auto& left, const auto& right) { return left.first > right.first; });
  std::string text;
  for (const auto& [count, cause] : causes) text += (text.empty() ? "" : ", ") + cause + " " + whole(count);
  return text;
}

std::string counts_text(const Document& tuple) {
  const Document& connects = at(tuple, "connects");
  const auto count = [&](const char* field) { return known(number_at(connects, field), whole); };
  std::string text = fmt::format("{} connects, {} established, {} failed", count("attempts"), count("established"),
                                 whole(failures_of(tuple)));
  if (const std::string causes = causes_text(connects); !causes.empty()) text += ": " + causes;
  if (const auto aborted = number_at(at(connects, "failures"), "aborted"); aborted && *aborted > 0) {
    text += fmt::format("; {} given up early", whole(*aborted));
  }
  if (const auto again = number_at(connects, "syn_retransmits"); again && *again > 0) {
    text += fmt::format("; {} SYNs sent again", whole(*again));
  }
  return text;
}

std::string times_text(const Document& tuple, const Style& style) {
  return fmt::format("connect p95 {}, p99 {}; port search p95 {}, {} of a core",
                     percentile_text(style, tuple, "ctl95_us", "ctl95_at_least"),
                     percentile_text(style, tuple, "ctl99_us", "ctl99_at_least"),
                     percentile_text(style, tuple, "port_search_p95_us"),
                     known(number_at(tuple, "port_search_cores"), percent));
}

std::string retries_text(const Document& tuple) {
  return fmt::format(
      "{} retries, {}/s, {} per attempt; {} reconnects/s", known(number_at(at(tuple, "connects"), "retries"), whole),
      known(number_at(tuple, "retry_rate_per_s"), figure), known(number_at(tuple, "retries_per_attempt"), figure),
      known(number_at(tuple, "reconnects_per_s"), figure));
}

/// Empty when there were too few retries for any width.
std::string bursts_text(const Document& tuple) {
  const Document& widths = at(tuple, "rbi_widths");
  std::string text;
  bool is_known = false;
  for (const char* width : {"20ms", "100ms", "250ms", "500ms"}) {
    const auto index = number_at(widths, width);
    is_known = is_known || index;
    text += fmt::format("{} {} {}", text.empty() ? "" : ",", width, known(index, figure));
  }
  return is_known ? "retry burst index:" + text : "";
}

/// What programs told themselves; empty when none did.
std::string programs_text(const Document& tuple) {
  if (!number_at(tuple, "refused_by_budget")) return "";
  return fmt::format("decision to send p95 {}; {} refused by budgets; {} retries waiting",
                     known(number_at(tuple, "dsd95_us"), brief_duration),
                     known(number_at(tuple, "refused_by_budget"), whole),
                     known(number_at(tuple, "retry_queue_depth"), whole));
}

void add_processes(std::vector<Line>& lines, const Document& tuple, std::size_t max_processes, const Style& style) {
  const Document& processes = at(tuple, "processes");
  if (!processes.is_array() || processes.empty()) {
    lines.push_back({{Tone::kFaint, "No process is known to have had trouble with it in the last 60 s."}});
    return;
  }
  lines.push_back(
      {{Tone::kFaint, column(style, "PID", 10) + "  " + fit_left(style, "PROCESS", 16) + column(style, "FAILED", 10) +
                          column(style, "SLOW", 10) + column(style, "RETRIES", 10)}});
  const std::size_t shown = std::min(processes.size(), std::max<std::size_t>(max_processes, 1));
  for (std::size_t i = 0; i < shown; ++i) {
    const Document& process = processes[i];
    const auto count = [&](const char* field) { return column(style, known(number_at(process, field), whole), 10); };
    const auto pid = number_at(process, "pid");
    lines.push_back({{Tone::kPlain, column(style, known(pid, [](double id) { return fmt::format("{:.0f}", id); }), 10) +
                                        "  " + fit_left(style, text_at(process, "comm"), 16) + count("failures") +
                                        count("slow") + count("retries")}});
  }
  if (const std::size_t more = processes.size() - shown; more > 0) {
    lines.push_back({{Tone::kFaint, fmt::format("and {} more with less trouble", more)}});
  }
}

}  // namespace

std::vector<Line> tuple_details(const Document& status, const Document& tuple, std::size_t max_processes,
                                const Style& style) {
  std::vector<Line> lines;
  const std::string state = text_at(tuple, "state");
  lines.push_back({{Tone::kStrong, fit_left(style, endpoint_text(tuple),
                                            std::min(display_width(endpoint_text(tuple)), style.columns - 30))},
                   {Tone::kPlain, "  "},
                   {tone_of_state(state), state},
                   {Tone::kBad, at(tuple, "peer_fault") == Document(true) ? "  fault of the peer" : ""}});
  if (!has_connects(tuple)) {
    const std::string why = text_at(at(status, "absent"), "tuples.connects", "the agent did not say why");
    add_wrapped(lines, {Tone::kFaint, "Connects are not known: " + why}, style);
    return lines;
  }
  for (const std::string& text :
       {counts_text(tuple), times_text(tuple, style), retries_text(tuple), bursts_text(tuple), programs_text(tuple)}) {
    if (!text.empty()) add_wrapped(lines, {Tone::kPlain, text}, style);
  }
  add_processes(lines, tuple, max_processes, style);
  return lines;
}

}  // namespace tidewaiter::output
