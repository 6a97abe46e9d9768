// SPDX-License-Identifier: Apache-2.0
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <langinfo.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/program.h"
#include "lab/child_program.h"
#include "lab/client_socket.h"
#include "lab/scenario.h"
#include "output/documents.h"
#include "output/style.h"

namespace tidewaiter::cli {
namespace {

using output::Style;
using output::Tone;

Style style_of(std::FILE* stream) {
  Style style;
  style.use_color = isatty(fileno(stream)) == 1 && std::getenv("NO_COLOR") == nullptr;  // NOLINT: before any thread
  style.use_unicode = std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  return style;
}

std::string spelled(const Style& style, std::string text) {
  return style.use_unicode ? text : output::in_ascii(std::move(text));
}

/// Tells the story on standard error: a line for each event, and on terminals a line below that moves.
class Storyteller final : public lab::Audience {
 public:
  Storyteller() : style_(style_of(stderr)), is_terminal_(isatty(STDERR_FILENO) == 1) {}

  void on_event(const lab::TimelineEvent& event) override {
    clear_progress();
    const std::string time = output::paint(style_, Tone::kFaint, fmt::format("{:>6.1f} s  ", event.t_s));
    const std::string text = output::wrapped(event.text, kTextColumns, kIndent);
    fmt::print(stderr, "{}{}\n", time, output::paint(style_, tone_of(event), spelled(style_, text)));
  }

  void on_progress(double t_s, double share, const std::string& text) override {
    if (!is_terminal_) return;
    fmt::print(stderr, "\r\x1b[K{:>6.1f} s  {} {}", t_s, output::bar(style_, share, kBarColumns),
               spelled(style_, text));
    std::fflush(stderr);
    has_progress_ = true;
  }

  void clear_progress() {
    if (has_progress_) fmt::print(stderr, "\r\x1b[K");
    has_progress_ = false;
  }

 private:
  static constexpr int kTextColumns = 69;
  static constexpr int kIndent = 10;
  static constexpr int kBarColumns = 24;

  static Tone tone_of(const lab::TimelineEvent& event) {
    if (event.event == "exhausted" || event.event == "cliff") return Tone::kStrong;
    const auto to = event.detail.find("to");
    if (event.event != "transition" || to == event.detail.end()) return Tone::kPlain;
    if (*to == "GREEN") return Tone::kGood;
    return *to == "RED" ? Tone::kBad : Tone::kWarning;
  }

  Style style_;
  bool is_terminal_;
  bool has_progress_ = false;
};

std::string expectations_table(const lab::Report& report, const Style& style) {
  std::string table;
  for (const lab::Expectation& expectation : report.expectations) {
    const std::string sign = style.use_unicode ? (expectation.pass ? "✓" : "✗") : (expectation.pass ? "ok" : "NO");
    const std::string expected = expectation.pass ? "" : fmt::format(" (expected: {})", expectation.expected);
    table += fmt::format("{} {}: {}{}\n", output::paint(style, expectation.pass ? Tone::kGood : Tone::kBad, sign),
                         expectation.what, expectation.observed, expected);
  }
  return spelled(style, table);
}

struct LabArguments {
  std::string scenario;
  std::uint64_t seed = 1;
  bool list_json = false;
  bool json = false;
  bool keep = false;
};

class LabCommand final : public Command {
 public:
  [[nodiscard]] std::string name() const override { return "lab"; }
  [[nodiscard]] std::string summary() const override {
    return "Bring about the failures that Tidewaiter is for, in network namespaces of its own";
  }
  [[nodiscard]] std::vector<std::string> examples() const override {
    return {"tidewaiter lab list                        what there is",
            "tidewaiter lab run port-exhaustion         a client runs out of ports, in about two minutes",
            "tidewaiter lab run all --json              every scenario, one document; exit status 1 if any failed"};
  }

  void add_options(CLI::App& app) override {
    app.require_subcommand(1);
    list_ = app.add_subcommand("list", "The scenarios, and how long each takes");
    list_->add_flag("--json", arguments_.list_json, "One document tidewaiter.lab-list/1");
    auto* run = app.add_subcommand("run", "Run a scenario; needs root");
    run->footer("Example:\n  tidewaiter lab run port-exhaustion");
    run->add_option("scenario", arguments_.scenario, "A name of `lab list`, or all")->required();
    run->add_flag("--json", arguments_.json, "One document tidewaiter.lab/1, for all tidewaiter.lab-all/1");
    run->add_option("--seed", arguments_.seed, "Of everything random")->capture_default_str();
    run->add_flag("--keep", arguments_.keep, "Leave the agents' state directories in place and name them");
  }

  [[nodiscard]] bool wants_json() const override { return arguments_.json || arguments_.list_json; }

  [[nodiscard]] ExitCode run() override {
    std::setlocale(LC_CTYPE, "");
    if (list_->parsed()) return list();
    auto outcome = run_scenarios();
    return outcome ? *outcome : report(outcome.error(), wants_json());
  }

 private:
  [[nodiscard]] ExitCode list() const {
    output::Document document{{"schema", "tidewaiter.lab-list/1"}, {"scenarios", output::Document::array()}};
    for (const lab::Scenario& scenario : lab::scenarios()) {
      const auto lasts_s = std::chrono::duration_cast<base::Seconds>(scenario.lasts).count();
      document["scenarios"].push_back({{"name", scenario.name}, {"summary", scenario.summary}, {"lasts_s", lasts_s}});
      if (!arguments_.list_json) fmt::print("{:<16} {:>4} s  {}\n", scenario.name, lasts_s, scenario.summary);
    }
    if (arguments_.list_json) fmt::print("{}\n", document.dump());
    return ExitCode::kFine;
  }

  base::Result<ExitCode> run_scenarios() const {
    std::vector<lab::Scenario> chosen(lab::scenarios().begin(), lab::scenarios().end());
    if (arguments_.scenario != "all") {
      const auto scenario = lab::find_scenario(arguments_.scenario);
      if (!scenario) return tl::unexpected(scenario.error());
      chosen = {*scenario};
    }
    if (auto possible = lab::check_lab(); !possible) return tl::unexpected(possible.error());
    lab::LabOptions options;
    options.seed = arguments_.seed;
    options.keep = arguments_.keep ? lab::Keep::kYes : lab::Keep::kNo;
    auto program = lab::own_program();
    if (!program) return tl::unexpected(program.error());
    options.program = std::move(*program);
    lab::allow_many_descriptors();
    return run_chosen(chosen, options);
  }

  [[nodiscard]] ExitCode run_chosen(const std::vector<lab::Scenario>& chosen, const lab::LabOptions& options) const {
    const auto interruption = lab::Interruption::of_signals();
    Storyteller storyteller;
    std::vector<lab::Report> reports;
    bool have_all_passed = true;
    for (const lab::Scenario& scenario : chosen) {
      if (interruption.is_interrupted()) break;
      if (!arguments_.json) fmt::print(stderr, "{}: {}\n", scenario.name, scenario.summary);
      reports.push_back(lab::run_scenario(scenario, options, interruption, arguments_.json ? nullptr : &storyteller));
      storyteller.clear_progress();
      have_all_passed = have_all_passed && reports.back().has_passed();
      if (!arguments_.json) {
        fmt::print("{}", expectations_table(reports.back(), style_of(stdout)));
        std::fflush(stdout);
      }
    }
    if (arguments_.json) {
      const auto document = arguments_.scenario == "all" ? reports_document(reports) : report_document(reports.at(0));
      fmt::print("{}\n", document.dump());
    }
    return have_all_passed && reports.size() == chosen.size() ? ExitCode::kFine : ExitCode::kNotFine;
  }

  CLI::App* list_ = nullptr;
  LabArguments arguments_;
};

const Registration kRegistration([] { return std::make_unique<LabCommand>(); });

}  // namespace
}  // namespace tidewaiter::cli
