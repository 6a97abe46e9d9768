// SPDX-License-Identifier: Apache-2.0
#include "lab/agent_child.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "lab/clock.h"

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

SeenTuple read_tuple(const Document& tuple) {
  return {static_cast<std::uint16_t>(number(member(tuple, "dport")).value_or(0)),
          text(member(tuple, "state")),
          number(member(tuple, "p_stress")),
          number(member(tuple, "ppr")),
          number(member(tuple, "ppr_preferred")),
          number(member(tuple, "free")),
          number(member(tuple, "demand_per_s")),
          number(member(tuple, "time_to_cliff_s")),
          number(member(tuple, "time_to_exhaustion_s"))};
}

std::string plain_reason(const std::string& condition, double value, const std::string& otherwise) {
  if (condition == "time_to_cliff") return value > 0 ? fmt::format("the cliff in {:.0f} s", value) : "past the cliff";
  if (condition == "past_cliff") return "past the cliff";
  if (condition == "time_to_exhaustion") return fmt::format("exhausted in {:.0f} s", value);
  if (condition == "p_stress") return fmt::format("P(stress) {:.2f}", value);
  if (condition == "ppr_preferred") return fmt::format("{:.0f} % of the preferred ports in use", 100 * value);
  if (condition == "ppr") return fmt::format("{:.0f} % of the ports in use", 100 * value);
  if (condition == "twr") return fmt::format("{:.0f} % of the ports in TIME_WAIT", 100 * value);
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
  for (const Document& tuple : member(document, "tuples")) window.tuples.push_back(read_tuple(tuple));
  for (const Document& transition : member(document, "transitions")) {
    window.transitions.push_back(read_transition(transition, context, window.t_s));
  }
  return window;
}

base::Result<std::unique_ptr<AgentChild>> AgentChild::start(Context& context, const Network& network,
                                                            const AgentOptions& options) {
  const std::vector<std::string> command{
      context.options().program,        "run",        "--json-lines",  "--listen", options.listen, "--state-dir",
      options.state_directory.string(), "--interval", options.interval};
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
