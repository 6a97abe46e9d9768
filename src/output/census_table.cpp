// SPDX-License-Identifier: Apache-2.0
#include "output/census_table.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/instant.h"

namespace tidewaiter::output {
namespace {

constexpr int kBarColumns = 10;
constexpr std::size_t kStripColumns = 20;  // 3 s each
constexpr double kHigh = 0.7;              // of a ratio: worth a colour
constexpr double kMiddle = 0.4;
constexpr auto kSoon = base::Seconds(60);
constexpr std::uint32_t kLateAcceptMs = 1000;
constexpr double kNoDemand = 0.05;  // per second: would be shown as 0.0

std::string percent(const std::optional<double>& ratio) { return ratio ? fmt::format("{:.1f} %", *ratio * 100) : "–"; }

Tone tone_of(const std::optional<double>& ratio) {
  if (!ratio || *ratio >= kHigh) return Tone::kBad;
  return *ratio >= kMiddle ? Tone::kWarning : Tone::kGood;
}

std::string name_of(const telemetry::Tuple& tuple) {
  return tuple.source.to_string() + " → " + telemetry::endpoint_to_string(tuple.destination, tuple.destination_port);
}

std::string_view parity_name(const telemetry::PortPlan& plan, bool preferred) {
  return ((plan.settings().lo % 2 == 0) == preferred) ? "even" : "odd";
}

std::optional<double> other_ratio(const TupleView& view, const telemetry::PortPlan& plan) {
  const std::uint32_t capacity = plan.capacity() - plan.preferred_capacity();
  const std::uint32_t free = view.outlook.pressure.free - view.outlook.pressure.free_preferred;
  if (capacity == 0) return std::nullopt;
  return 1.0 - static_cast<double>(free) / capacity;
}

/// One parity: its name, how full it is as a bar and in percent; a parity without ports has neither.
std::string parity_cell(const Style& style, std::string_view name, const std::optional<double>& ratio) {
  const std::string picture = ratio ? bar(style, *ratio, kBarColumns) : std::string(kBarColumns, ' ');
  return fit_left(style, name, 5) + paint(style, tone_of(ratio), picture) +
         fit_right(style, ratio ? fmt::format("{:.0f} %", *ratio * 100) : "–", 6);
}

std::string in_time(const std::optional<base::Nanoseconds>& time) {
  if (!time) return "never at this rate";
  return *time == base::Nanoseconds(0) ? "now" : "in " + base::humane_duration(*time);
}

std::string search_text(const model::Outlook& outlook) {
  return fmt::format("about {}", base::humane_duration(outlook.expected_search));
}

std::optional<Headline> tuple_headline(const TupleView& view, const telemetry::PortPlan& plan) {
  const auto& outlook = view.outlook;
  const std::string name = name_of(view.sample->tuple);
  if (plan.capacity() == 0) return std::nullopt;
  if (outlook.pressure.free == 0) {
    return Headline{Tone::kBad,
                    fmt::format("{}: no free port. Each connect() walks the whole range ({}) and fails with "
                                "EADDRNOTAVAIL.",
                                name, search_text(outlook))};
  }
  if (outlook.forecast && outlook.forecast->time_to_exhaustion && *outlook.forecast->time_to_exhaustion < kSoon) {
    return Headline{Tone::kBad, fmt::format("{}: out of ports {} at {:.1f} connects/s.", name,
                                            in_time(outlook.forecast->time_to_exhaustion), *outlook.demand_per_s)};
  }
  if (outlook.is_past_cliff) {
    return Headline{Tone::kWarning, fmt::format("{}: the {} ports, which connect() tries first, are used up; the port "
                                                "search is expected to take {}.",
                                                name, parity_name(plan, true), search_text(outlook))};
  }
  if (outlook.forecast && outlook.forecast->time_to_cliff && *outlook.forecast->time_to_cliff < kSoon) {
    return Headline{
        Tone::kWarning,
        fmt::format("{}: the {} ports will be used up {} at {:.1f} connects/s; connect() then "
                    "slows down by two orders of magnitude.",
                    name, parity_name(plan, true), in_time(outlook.forecast->time_to_cliff), *outlook.demand_per_s)};
  }
  return std::nullopt;
}

std::optional<Headline> listener_headline(const telemetry::ListenerSample& listener) {
  const std::string name = telemetry::endpoint_to_string(listener.address, listener.port);
  if (listener.accept_queue > listener.accept_limit) {
    return Headline{Tone::kBad,
                    fmt::format("{}: the accept queue is full ({} of {}, and one more fits): handshakes are "
                                "dropped until the program calls accept().",
                                name, listener.accept_queue, listener.accept_limit)};
  }
  if (listener.waits && listener.waits->oldest_ms >= kLateAcceptMs) {
    return Headline{Tone::kWarning, fmt::format("{}: a connection has waited {} for accept().", name,
                                                base::humane_duration(base::Milliseconds(listener.waits->oldest_ms)))};
  }
  return std::nullopt;
}

std::string plan_line(const telemetry::PortPlan& plan) {
  std::string text = fmt::format("ports {}-{}: {}", plan.settings().lo, plan.settings().hi, grouped(plan.size()));
  if (plan.reserved() > 0) text += fmt::format(", {} reserved", grouped(plan.reserved()));
  if (plan.locked() > 0) text += fmt::format(", {} locked", grouped(plan.locked()));
  return text + fmt::format("; {} for each source and destination, {} first", grouped(plan.capacity()),
                            parity_name(plan, true));
}

std::string release_strip(const model::Outlook& outlook, const Style& style) {
  std::array<std::uint32_t, kStripColumns> columns{};
  for (std::size_t second = 0; second < outlook.releases_by_second.size(); ++second) {
    columns[second * kStripColumns / outlook.releases_by_second.size()] += outlook.releases_by_second[second];
  }
  return strip(style, columns);
}

std::string forecast_text(const model::Outlook& outlook) {
  std::string text =
      *outlook.demand_per_s < kNoDemand ? "no new connects" : fmt::format("{:.1f} connects/s", *outlook.demand_per_s);
  const std::optional<base::Nanoseconds> cliff =
      outlook.is_past_cliff ? base::Nanoseconds(0) : outlook.forecast->time_to_cliff;
  if (!cliff && !outlook.forecast->time_to_exhaustion) return text + ": never runs short at this rate";
  return text + fmt::format(": cliff {}, exhausted {}", in_time(cliff), in_time(outlook.forecast->time_to_exhaustion));
}

std::string tuple_rows(const TupleView& view, const telemetry::PortPlan& plan, const Style& style) {
  const auto& counts = view.sample->counts;
  const auto& outlook = view.outlook;
  const int name_columns = style.columns - 8 - 1 - 3 * 10;
  std::string rows = paint(style, tone_of(outlook.pressure.ppr), fit_right(style, percent(outlook.pressure.ppr), 7)) +
                     "  " + paint(style, Tone::kStrong, fit_left(style, name_of(view.sample->tuple), name_columns)) +
                     column(style, grouped(counts.live), 10) + column(style, grouped(counts.time_wait), 10) +
                     column(style, grouped(outlook.pressure.free), 10) + "\n";
  rows += "         " + parity_cell(style, parity_name(plan, true), outlook.pressure.ppr_preferred) + "   " +
          parity_cell(style, parity_name(plan, false), other_ratio(view, plan)) + "   " +
          release_strip(outlook, style) + "\n";
  if (outlook.forecast) rows += paint(style, Tone::kFaint, "         " + forecast_text(outlook)) + "\n";
  return rows;
}

std::string tuple_section(const CensusView& view, const Style& style, std::size_t most) {
  if (view.tuples.empty()) return "No outbound connection holds a port.\n";
  const int name_columns = style.columns - 8 - 1 - 3 * 10;
  std::string text =
      paint(style, Tone::kFaint,
            fit_right(style, "IN USE", 7) + "  " + fit_left(style, "SOURCE AND DESTINATION", name_columns) +
                column(style, "LIVE", 10) + column(style, "TIME_WAIT", 10) + column(style, "FREE", 10)) +
      "\n";
  text += paint(style, Tone::kFaint, fit_left(style, "", 57) + "released, 60 s ahead") + "\n";
  for (std::size_t i = 0; i < std::min(most, view.tuples.size()); ++i) {
    text += tuple_rows(view.tuples[i], view.sample->plan, style);
  }
  if (view.tuples.size() > most) {
    text += paint(style, Tone::kFaint,
                  fmt::format("         and {} more with less pressure (--top N shows more, --json all)",
                              grouped(view.tuples.size() - most))) +
            "\n";
  }
  return text;
}

std::string listener_section(const telemetry::Sample& sample, const Style& style, std::size_t most) {
  if (sample.listeners.empty()) return "";
  auto listeners = sample.listeners;
  std::stable_sort(listeners.begin(), listeners.end(), [](const auto& left, const auto& right) {
    return std::pair(left.accept_queue, left.drops.value_or(0)) >
           std::pair(right.accept_queue, right.drops.value_or(0));
  });
  const int name_columns = style.columns - 9 - 14 - 10 - 10 - 12;
  std::string text =
      "\n" +
      paint(style, Tone::kFaint,
            fit_left(style, "", 9) + fit_left(style, "LISTENING ON", name_columns) + column(style, "WAITING", 14) +
                column(style, "HALF-OPEN", 10) + column(style, "DROPS", 10) + column(style, "OLDEST", 12)) +
      "\n";
  const auto count = [](const std::optional<std::uint32_t>& value) {
    return value ? grouped(*value) : std::string("–");
  };
  for (std::size_t i = 0; i < std::min(most, listeners.size()); ++i) {
    const auto& listener = listeners[i];
    const auto headline = listener_headline(listener);
    text +=
        fit_left(style, "", 9) +
        paint(style, headline ? headline->tone : Tone::kPlain,
              fit_left(style, telemetry::endpoint_to_string(listener.address, listener.port), name_columns)) +
        column(style, fmt::format("{} / {}", grouped(listener.accept_queue), grouped(listener.accept_limit)), 14) +
        column(style, count(listener.half_open), 10) + column(style, count(listener.drops), 10) +
        column(style, listener.waits ? base::humane_duration(base::Milliseconds(listener.waits->oldest_ms)) : "–", 12) +
        "\n";
  }
  if (listeners.size() > most) {
    text += paint(style, Tone::kFaint, fmt::format("         and {} more", grouped(listeners.size() - most))) + "\n";
  }
  return text;
}

std::string cost_line(const telemetry::Sample& sample) {
  const telemetry::LookCost& cost = sample.cost;
  std::string text = fmt::format("{} sockets in {} ({} in the kernel), {} pass{}", grouped(cost.sockets),
                                 base::humane_duration(cost.wall), base::humane_duration(cost.kernel), cost.passes,
                                 cost.passes == 1 ? "" : "es");
  if (cost.interrupted > 0) text += fmt::format(", {} started again", cost.interrupted);
  if (sample.source == telemetry::LookSource::kIterator) text += ", by BPF iterator";
  return text;
}

}  // namespace

std::vector<Headline> headlines_of(const CensusView& view) {
  std::vector<Headline> headlines;
  if (view.sample->plan.capacity() == 0) {
    headlines.push_back({Tone::kBad, "connect() has no port to give: the whole range is reserved or locked."});
  }
  for (const TupleView& tuple : view.tuples) {
    if (auto headline = tuple_headline(tuple, view.sample->plan)) headlines.push_back(std::move(*headline));
  }
  for (const auto& listener : view.sample->listeners) {
    if (auto headline = listener_headline(listener)) headlines.push_back(std::move(*headline));
  }
  std::stable_sort(headlines.begin(), headlines.end(),
                   [](const Headline& left, const Headline& right) { return left.tone > right.tone; });
  return headlines;
}

std::string census_table(const CensusView& view, const Style& style, const CensusTableOptions& options) {
  const telemetry::Sample& sample = *view.sample;
  std::string text = paint(style, Tone::kStrong, "tidewaiter census") +
                     fmt::format("  {}  {}\n", sample.netns, base::to_rfc3339(sample.at.wall));
  text += wrapped(plan_line(sample.plan), style.columns, 2) + "\n\n";
  const auto headlines = headlines_of(view);
  if (headlines.empty()) {
    text += paint(style, Tone::kGood, "Nothing is wrong: no tuple is short of ports, no listener is behind.") + "\n\n";
  } else {
    std::string line = "▲ " + headlines.front().text;
    if (headlines.size() > 1) line += fmt::format(" ({} more below)", headlines.size() - 1);
    text += paint(style, headlines.front().tone, wrapped(line, style.columns, 2)) + "\n\n";
  }
  text += tuple_section(view, style, options.tuples);
  text += listener_section(sample, style, options.listeners);
  text += "\n" + paint(style, Tone::kFaint, cost_line(sample)) + "\n";
  for (const auto& [field, reason] : sample.absent) {
    text +=
        paint(style, Tone::kFaint, wrapped(fmt::format("not known: {}: {}", field, reason), style.columns, 2)) + "\n";
  }
  return style.use_unicode ? text : in_ascii(std::move(text));
}

std::string census_screen(const CensusView& view, const Style& style, int lines, CensusTableOptions options) {
  options.tuples = std::min(options.tuples, view.tuples.size());
  options.listeners = std::min(options.listeners, view.sample->listeners.size());
  while (true) {
    std::string text = census_table(view, style, options);
    const bool fits = std::count(text.begin(), text.end(), '\n') < lines;  // the cursor takes the last line
    if (fits || (options.tuples <= 1 && options.listeners <= 1)) return text;
    // A tuple takes up to three lines, a listener one: give way where more are left.
    if (options.tuples > 1 && (options.listeners <= 1 || 3 * options.tuples >= options.listeners)) {
      --options.tuples;
    } else {
      --options.listeners;
    }
  }
}

}  // namespace tidewaiter::output
