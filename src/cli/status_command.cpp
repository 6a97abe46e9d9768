// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <clocale>
#include <cstdio>
#include <fmt/format.h>
#include <optional>

#include "cli/agent_client.h"
#include "cli/command.h"
#include "cli/configuration_file.h"
#include "cli/pause.h"
#include "cli/program.h"
#include "cli/standard_output.h"
#include "cli/terminal.h"
#include "output/status_screen.h"

namespace tidewaiter::cli {
namespace {

constexpr base::Nanoseconds kPatience = base::Seconds(3);
constexpr base::Nanoseconds kPollEvery = base::Milliseconds(100);
const std::vector<std::string> kStates{"GREEN", "YELLOW", "ORANGE", "RED", "STALE"};

struct StatusArguments {
  std::string url;
  std::string state_directory;
  std::string wait_state;
  std::string timeout = "30s";
  bool json = false;
  bool ascii = false;
};

class StatusCommand final : public Command {
 public:
  [[nodiscard]] std::string name() const override { return "status"; }
  [[nodiscard]] std::string summary() const override { return "Show the state of a running agent, and why it is so"; }
  [[nodiscard]] std::vector<std::string> examples() const override {
    return {"tidewaiter status                                     the agent of this host",
            "tidewaiter status --json                              tidewaiter.status/1 (docs/documents.md)",
            "tidewaiter status --wait-state GREEN --timeout 2m     exit status 1 when it is not reached",
            "tidewaiter status --url http://127.0.0.1:9651"};
  }

  void add_options(CLI::App& app) override {
    app.add_option("--url", arguments_.url, "Agent to ask (default: the one of the state directory)")
        ->check(not_empty());
    app.add_option("--state-dir", arguments_.state_directory, "State directory of the agent")->check(not_empty());
    app.add_option("--wait-state", arguments_.wait_state, "Wait until the host is in this state")
        ->check(CLI::IsMember(kStates));
    app.add_option("--timeout", arguments_.timeout, "With --wait-state: how long to wait")->capture_default_str();
    app.add_flag("--json", arguments_.json, "The document tidewaiter.status/1");
    app.add_flag("--ascii", arguments_.ascii, "Draw with ASCII only");
  }

  [[nodiscard]] bool wants_json() const override { return arguments_.json; }

  [[nodiscard]] ExitCode run() override {
    std::setlocale(LC_CTYPE, "");
    const auto timeout = base::parse_duration(arguments_.timeout);
    if (!timeout) return report(base::wrap(timeout.error(), "--timeout").value(), wants_json());
    const base::Instant until = read_clocks().steady + *timeout;
    InterruptiblePause pause;
    while (true) {
      // Asked anew each time: an agent that starts meanwhile may leave its address only then.
      const auto status = get_status(arguments_.url, arguments_.state_directory, kPatience);
      const bool is_waiting = !arguments_.wait_state.empty();
      const bool is_there = status && (!is_waiting || status->value("state", "") == arguments_.wait_state);
      const base::Instant now = read_clocks().steady;
      if (is_there || !is_waiting || now >= until || !pause.until(std::min(now + kPollEvery, until))) {
        if (!status) return report(status.error(), wants_json());
        if (auto shown = write_standard_output(text_of(*status)); !shown) return report(shown.error(), false);
        return is_there ? ExitCode::kFine : ExitCode::kNotFine;
      }
    }
  }

 private:
  [[nodiscard]] std::string text_of(const output::Document& status) const {
    if (arguments_.json) return status.dump() + "\n";
    const auto style = style_of_terminal(arguments_.ascii, stdout);
    return output::to_text(output::status_screen(status, style), style);
  }

  StatusArguments arguments_;
};

const Registration kRegistration([] { return std::make_unique<StatusCommand>(); });

}  // namespace
}  // namespace tidewaiter::cli
