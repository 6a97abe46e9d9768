// SPDX-License-Identifier: Apache-2.0
#include "lab/agent_child.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>

#include "lab/clock.h"
#include "telemetry/address.h"

namespace tidewaiter::lab {
namespace {

using output::Document;

constexpr base::Nanoseconds kStartPatience = base::Seconds(10);

/// A member of an object, or null.
const Document& member(const Document& object, const char* name) {
  static const Document kNull;
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found == object.end() ? kNull : *found;
}

std::optional<double> number(const Document& value) {
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

std::string text(const Document& value) { return value.is_string() ? value.get<std::string>() : std::string(); }

std::optional<base::WallTime> parse_rfc3339(const std::string& text) {
  std::tm parts{};
  int milliseconds = 0;
  char zone = 0;
  // NOLINTNEXTLINE(bugprone-unchecked-string-to-number-conversion): the count of fields is checked
  if (std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%d.%d%c", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
                  &parts.tm_min, &parts.tm_sec, &milliseconds, &zone) != 8 ||
      zone != 'Z') {
    return std::nullopt;
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return base::WallTime(base::Seconds(timegm(&parts)) + base::Milliseconds(milliseconds));
}

double seconds_of(const Document& at, const Context& context, double otherwise) {
  const auto time = parse_rfc3339(text(at));
  return time ? context.seconds_at(*time) : otherwise;
}

std::string plain_reason(const std::string& condition, double value, const std::string& otherwise) {
  if (condition == "time_to_cliff") return value > 0 ? fmt::format("the cliff in {:.0f} s", value) : "past the cliff";
  if (condition == "past_cliff") return "past the cliff";
  if (condition == "time_to_exhaustion") return fmt::format("exhausted in {:.0f} s", value);
  if (condition == "p_stress") return fmt::format("P(stress) {:.2f}", value);
  if (condition == "ppr_preferred") return fmt::format("{:.0f} % of the preferred ports in use", 100 * value);
  if (condition == "ppr") return fmt::format("{:.0f} % of the ports in use", 100 * value);
  if (condition == "twr") return fmt::format("{:.0f} % of the ports in TIME_WAIT", 100 * value);
  if (condition == "cfr") return fmt::format("{:.0f} % of the connects fail", 100 * value);
  if (condition == "cfr_local") return fmt::format("{:.0f} % of the connects fail here", 100 * value);
  if (condition == "rbi") return fmt::format("retries in step, burst index {:.2f}", value);
  if (condition == "local_failures") return fmt::format("{:.0f} connects failed here", value);
  if (condition == "clear_for_s") return fmt::format("calm for {:.0f} s", value);
  return otherwise;
}

SeenReason read_reason(const Document& reason) {
  const std::string condition = text(member(reason, "condition"));
  const double value = number(member(reason, "value")).value_or(0);
  const double threshold = number(member(reason, "threshold")).value_or(0);
  const std::string line = fmt::format("{} {:.3g} {} {:.3g}", condition, value, text(member(reason, "op")), threshold);
  return {condition, line, plain_reason(condition, value, line)};
}

/// Absent where no source counts.
std::optional<Tally> read_connects(const Document& connects, Source source) {
  return connects.is_object() ? std::optional(read_tally(connects, source)) : std::nullopt;
}

SeenTuple read_tuple(const Document& tuple) {
  SeenTuple seen;
  seen.source = text(member(tuple, "src"));
  seen.destination = text(member(tuple, "dst"));
  seen.port = static_cast<std::uint16_t>(number(member(tuple, "dport")).value_or(0));
  seen.state = text(member(tuple, "state"));
  seen.order_state = text(member(tuple, "order_state"));
  seen.has_peer_fault = member(tuple, "peer_fault") == true;
  for (const Document& reason : member(tuple, "reasons")) seen.reasons.push_back(read_reason(reason));
  seen.p_stress = number(member(tuple, "p_stress"));
  seen.ppr = number(member(tuple, "ppr"));
  seen.ppr_preferred = number(member(tuple, "ppr_preferred"));
  seen.free = number(member(tuple, "free"));
  seen.free_preferred = number(member(tuple, "free_preferred"));
  seen.demand_per_s = number(member(tuple, "demand_per_s"));
  seen.time_to_cliff_s = number(member(tuple, "time_to_cliff_s"));
  seen.time_to_exhaustion_s = number(member(tuple, "time_to_exhaustion_s"));
  const auto source = telemetry::parse_address(seen.source);
  const bool is_chosen = source && !source->is_unspecified();
  seen.connects = read_connects(member(tuple, "connects"), is_chosen ? Source::kChosen : Source::kUnspecified);
  seen.port_search_p95_us = number(member(tuple, "port_search_p95_us"));
  seen.rbi = number(member(tuple, "rbi"));
  seen.retry_rate_per_s = number(member(tuple, "retry_rate_per_s"));
  return seen;
}

/// What a window says of what it was made from.
void read_sources(const Document& document, SeenWindow& window) {
  window.connects = read_connects(member(member(document, "host"), "connects"), Source::kUnspecified);
  const Document& lost = member(member(document, "observer"), "lost_events");
  if (lost.is_object()) {
    for (const auto& [source, count] : lost.items()) {
      window.lost[source] = static_cast<std::uint64_t>(number(count).value_or(0));
    }
  }
  for (const Document& source : member(member(document, "tiers"), "sources")) {
    if (member(source, "active") == true) continue;
    window.not_active[text(member(source, "name"))] = text(member(source, "needs"));
  }
}

SeenTransition read_transition(const Document& transition, const Context& context, double otherwise) {
  SeenTransition seen{seconds_of(member(transition, "at"), context, otherwise),
                      text(member(transition, "scope")),
                      {},
                      text(member(transition, "from")),
                      text(member(transition, "to")),
                      text(member(transition, "trigger")),
                      {}};
  if (const auto port = number(member(member(transition, "subject"), "dport"))) {
    seen.port = static_cast<std::uint16_t>(*port);
  }
  for (const Document& reason : member(transition, "reasons")) seen.reasons.push_back(read_reason(reason));
  return seen;
}

}  // namespace

std::optional<int> severity_of(const std::string& state) {
  constexpr std::array kStates{"GREEN", "YELLOW", "ORANGE", "RED"};
  for (std::size_t i = 0; i < kStates.size(); ++i) {
    if (state == kStates[i]) return static_cast<int>(i);
  }
  return std::nullopt;
}

std::string SeenTransition::because() const {
  std::string line;
  for (const SeenReason& reason : reasons) line += (line.empty() ? "" : ", ") + reason.text;
  return line;
}

std::string SeenTransition::in_short() const {
  constexpr std::size_t kMost = 3;
  std::vector<std::string> told;
  for (const SeenReason& reason : reasons) {
    if (told.size() < kMost && std::find(told.begin(), told.end(), reason.plain) == told.end()) {
      told.push_back(reason.plain);
    }
  }
  return fmt::format("{}", fmt::join(told, ", "));
}

std::string SeenWindow::connect_source() const {
  if (connects) return "active";
  const auto missing = not_active.find("bpf_state");
  return "needs " + (missing == not_active.end() ? "a source of connects" : missing->second);
}

const SeenTuple* SeenWindow::find(std::uint16_t port) const {
  for (const SeenTuple& tuple : tuples) {
    if (tuple.port == port) return &tuple;
  }
  return nullptr;
}

base::Result<SeenWindow> parse_window(const OutputLine& line, const Context& context) {
  const Document document = Document::parse(line.text, nullptr, false);
  if (document.is_discarded() || text(member(document, "schema")) != "tidewaiter.window/1") {
    return base::fail(base::ErrorCode::kMalformed,
                      fmt::format("not a tidewaiter.window/1: {}", line.text.substr(0, 200)));
  }
  SeenWindow window;
  window.arrived = line.at;
  window.t_s = seconds_of(member(document, "at"), context, context.seconds_at(line.at));
  window.number = static_cast<std::uint64_t>(number(member(document, "window")).value_or(0));
  window.state = text(member(document, "state"));
  read_sources(document, window);
  for (const Document& tuple : member(document, "tuples")) window.tuples.push_back(read_tuple(tuple));
  for (const Document& transition : member(document, "transitions")) {
    window.transitions.push_back(read_transition(transition, context, window.t_s));
  }
  return window;
}

base::Result<std::unique_ptr<AgentChild>> AgentChild::start(Context& context, const Network& network,
                                                            const AgentOptions& options) {
  std::vector<std::string> command{
      context.options().program,        "run",        "--json-lines",  "--listen", options.listen, "--state-dir",
      options.state_directory.string(), "--interval", options.interval};
  if (!options.configuration.empty()) {
    const std::filesystem::path file = options.state_directory / "lab.toml";
    if (!(std::ofstream(file) << options.configuration << std::flush)) return base::fail_errno(errno, file.string());
    command.insert(command.end(), {"--config", file.string()});
  }
  auto child = ChildProgram::start({command, {}}, network);
  if (!child) return base::wrap(child.error(), "start the agent");
  auto agent = std::unique_ptr<AgentChild>(new AgentChild(context, std::move(*child)));
  auto window = agent->next_window(read_clock() + kStartPatience);
  if (!window) return base::wrap(window.error(), "start the agent");
  if (!*window) return base::fail(base::ErrorCode::kUnavailable, "the agent gave no window within 10 s");
  agent->first_ = std::move(**window);
  return agent;
}

base::Error AgentChild::gone() const {
  const auto status = child_->wait_exit(read_clock() + base::Seconds(1));
  const std::string said = child_->error_text();
  return {base::ErrorCode::kUnavailable,
          0,
          {fmt::format("the agent has ended ({}): {}", status ? status->to_string() : "its output closed",
                       said.substr(said.size() > 500 ? said.size() - 500 : 0))},
          {}};
}

base::Result<std::optional<SeenWindow>> AgentChild::next_window(base::Instant deadline) {
  const auto line = child_->next_line(deadline);
  if (!line) {
    if (read_clock() < deadline) return tl::unexpected(gone());
    return std::nullopt;
  }
  auto window = parse_window(*line, context_);
  if (!window) return tl::unexpected(window.error());
  return std::move(*window);
}

base::Result<void> AgentChild::stop(base::Nanoseconds patience) {
  if (auto sent = child_->send_signal(SIGINT); !sent) return sent;
  const auto status = child_->wait_exit(read_clock() + patience);
  if (!status) return base::fail(base::ErrorCode::kUnavailable, "the agent does not stop after SIGINT");
  if (*status == ExitStatus{}) return {};
  return base::fail(base::ErrorCode::kUnavailable, fmt::format("the agent stopped with {}", status->to_string()));
}

}  // namespace tidewaiter::lab
