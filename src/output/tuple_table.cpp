// SPDX-License-Identifier: Apache-2.0
#include "output/tuple_table.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <tuple>
#include <utility>

#include "output/document_fields.h"

namespace tidewaiter::output {
namespace {

constexpr int kStateColumns = 7;
constexpr int kBarColumns = 8;
constexpr int kPortColumns = 8 + 1 + kBarColumns + 7 + 7 + 7 + 9;
constexpr int kConnectColumns = 8 + 8 + 9 + 9 + 6;
constexpr int kRateColumns = 7;
constexpr double kManyFailures = 0.2;
constexpr double kSlowSearch = 50;  // µs: past the cliff
constexpr double kLongSearch = 500;
constexpr double kBunched = 0.5;
constexpr double kUneven = 0.15;

int subject_columns(TupleColumns columns, const Style& style) {
  const int figures = (columns == TupleColumns::kConnects ? kRateColumns : kPortColumns) +
                      (columns == TupleColumns::kPorts ? 0 : kConnectColumns);
  return style.columns - kStateColumns - figures;
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

int severity(const Document& tuple) {
  const std::string state = text_at(tuple, "state");
  const std::vector<std::string> states{"GREEN", "YELLOW", "ORANGE", "RED", "STALE"};
  return static_cast<int>(std::find(states.begin(), states.end(), state) - states.begin());
}

/// Connects that failed among those judged; −1: not known.
double recent_failures(const Document& tuple) {
  const auto rate = number_at(tuple, "cfr");
  const auto attempts = number_at(tuple, "attempts");
  return rate && attempts ? *rate * *attempts : -1;
}

/// The greatest comes first.
std::pair<double, double> rank(const Document& tuple, TupleOrder order) {
  switch (order) {
    case TupleOrder::kPressure:
      return {severity(tuple), 0};  // the document's own order is by pressure
    case TupleOrder::kFailures:
      return {recent_failures(tuple), failures_of(tuple)};
    case TupleOrder::kPortSearch:
      return {number_at(tuple, "port_search_p95_us").value_or(-1), number_at(tuple, "port_search_cores").value_or(-1)};
  }
  return {};
}

Tone tone_above(const std::optional<double>& value, double warning, double bad) {
  if (!value || *value < warning) return Tone::kPlain;
  return *value < bad ? Tone::kWarning : Tone::kBad;
}

/// Offered connects by what sockets show, or those that were seen to end, failed ones included.
std::string rate_column(const Document& tuple, TupleColumns columns, const Style& style) {
  const char* const field = columns == TupleColumns::kPorts ? "demand_per_s" : "attempts_per_s";
  return column(style, known(number_at(tuple, field), figure), kRateColumns);
}

void add_ports(Line& line, const Document& tuple, TupleColumns columns, const Style& style) {
  const auto ratio = number_at(tuple, "ppr");
  const auto preferred = number_at(tuple, "ppr_preferred");
  line.push_back({tone_of_ratio(ratio), column(style, known(ratio, percent), 8)});
  line.push_back({Tone::kPlain, " "});
  line.push_back({tone_of_ratio(preferred), preferred ? bar(style, std::clamp(*preferred, 0.0, 1.0), kBarColumns)
                                                      : fit_left(style, kUnknown, kBarColumns)});
  line.push_back({Tone::kPlain, column(style, known(number_at(tuple, "live"), whole), 7) +
                                    column(style, known(number_at(tuple, "time_wait"), whole), 7) +
                                    rate_column(tuple, columns, style) + column(style, out_of_ports(tuple), 9)});
}

void add_connects(Line& line, const Document& tuple, const Style& style) {
  const auto rate = number_at(tuple, "cfr");
  const auto bursts = number_at(tuple, "rbi");
  const std::string failed = has_connects(tuple) ? whole(failures_of(tuple)) : kUnknown;
  line.push_back({tone_above(rate, 1e-9, kManyFailures), column(style, known(rate, percent), 8)});
  line.push_back({Tone::kPlain, column(style, failed, 8) +
                                    column(style, percentile_text(style, tuple, "ctl95_us", "ctl95_at_least"), 9)});
  line.push_back({tone_above(number_at(tuple, "port_search_p95_us"), kSlowSearch, kLongSearch),
                  column(style, percentile_text(style, tuple, "port_search_p95_us"), 9)});
  line.push_back({tone_above(bursts, kUneven, kBunched), column(style, known(bursts, figure), 6)});
}

}  // namespace

std::vector<const Document*> tuples_in_order(const Document& status, TupleOrder order) {
  std::vector<std::pair<std::pair<double, double>, const Document*>> ranked;
  const Document& tuples = at(status, "tuples");
  if (tuples.is_array()) {
    for (const Document& tuple : tuples) ranked.emplace_back(rank(tuple, order), &tuple);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& left, const auto& right) { return left.first > right.first; });
  std::vector<const Document*> result;
  result.reserve(ranked.size());
  for (const auto& [place, tuple] : ranked) result.push_back(tuple);
  return result;
}

std::string identity_of(const Document& tuple) { return text_at(tuple, "netns") + " " + endpoint_text(tuple); }

bool has_connects(const Document& tuple) { return at(tuple, "connects").is_object(); }

double failures_of(const Document& tuple) {
  const Document& connects = at(tuple, "connects");
  const Document& causes = at(connects, "failures");
  double failures = number_at(connects, "pre_syn_unattributed").value_or(0);
  if (!causes.is_object()) return failures;
  for (const auto& [cause, count] : causes.items()) {
    if (cause != "aborted" && count.is_number()) failures += count.get<double>();
  }
  return failures;
}

Line tuple_header(const Document& status, TupleColumns columns, const Style& style) {
  const char* const rate = columns == TupleColumns::kPorts ? "CONN/S" : "TRY/S";
  std::string text = fit_left(style, "STATE", kStateColumns) +
                     fit_left(style, "SOURCE → DESTINATION", subject_columns(columns, style));
  if (columns != TupleColumns::kConnects) {
    text += column(style, "IN USE", 8) + " " + fit_left(style, preferred_parity(status), kBarColumns) +
            column(style, "LIVE", 7) + column(style, "T_WAIT", 7) + column(style, rate, kRateColumns) +
            column(style, "RUNS OUT", 9);
  } else {
    text += column(style, rate, kRateColumns);
  }
  if (columns != TupleColumns::kPorts) {
    text += column(style, "FAILING", 8) + column(style, "FAILED", 8) + column(style, "CONN p95", 9) +
            column(style, "SRCH p95", 9) + column(style, "RBI", 6);
  }
  return {{Tone::kFaint, std::move(text)}};
}

Line tuple_line(const Document& tuple, TupleColumns columns, bool is_selected, const Style& style) {
  const std::string state = text_at(tuple, "state");
  Line line{{tone_of_state(state), fit_left(style, state, kStateColumns)},
            {is_selected ? Tone::kSelected : Tone::kPlain,
             fit_left(style, endpoint_text(tuple), subject_columns(columns, style))}};
  if (columns == TupleColumns::kConnects) {
    line.push_back({Tone::kPlain, rate_column(tuple, columns, style)});
  } else {
    add_ports(line, tuple, columns, style);
  }
  if (columns != TupleColumns::kPorts) add_connects(line, tuple, style);
  return line;
}

}  // namespace tidewaiter::output
