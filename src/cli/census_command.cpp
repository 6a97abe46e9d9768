// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <fmt/format.h>
#include <optional>
#include <unistd.h>

#include "agent/configuration.h"
#include "cli/command.h"
#include "cli/configuration_file.h"
#include "cli/pause.h"
#include "cli/program.h"
#include "cli/standard_output.h"
#include "cli/terminal.h"
#include "kernel/census.h"
#include "kernel/host.h"
#include "model/release_schedule.h"
#include "output/census_metrics.h"
#include "output/census_table.h"
#include "output/census_view.h"
#include "output/documents.h"
#include "output/series_limit.h"
#include "telemetry/rates.h"

namespace tidewaiter::cli {
namespace {

constexpr unsigned kSlowestHz = 100;  // gives the longest granule: the careful assumption where HZ is not known

/// What the command line says, as text; read() turns it into values.
struct CensusArguments {
  std::string netns = "self";
  std::string destination;
  std::string interval;
  std::string watch;
  std::string config;
  std::size_t top = output::CensusTableOptions{}.tuples;
  std::size_t max_tuples = 64;
  bool json = false;
  bool prometheus = false;
  bool full = false;
  bool ascii = false;
};

base::Result<std::optional<base::Nanoseconds>> read_pace(const std::string& option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto duration = base::parse_duration(text);
  if (!duration) return base::wrap(duration.error(), option);
  if (*duration < base::Milliseconds(100) || *duration > base::Seconds(60)) {
    return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("{}: '{}' is out of range", option, text),
                      "from 100ms to 60s");
  }
  return *duration;
}

class CensusCommand final : public Command {
 public:
  [[nodiscard]] std::string name() const override { return "census"; }
  [[nodiscard]] std::string summary() const override {
    return "Show which destinations hold local ports, how many are left, and when they come back";
  }
  [[nodiscard]] std::vector<std::string> examples() const override {
    return {"tidewaiter census                              one look at this host",
            "tidewaiter census --watch 1s                   live, with demand and time to exhaustion",
            "tidewaiter census --json --interval 1s         two looks a second apart, as one document",
            "tidewaiter census --netns blue --dst 10.0.0.7:9000",
            "tidewaiter census --prometheus                 for a textfile collector"};
  }

  void add_options(CLI::App& app) override {
    app.add_option("--netns", arguments_.netns,
                   "Network namespace: self, a name of `ip netns`, or a path (/proc/PID/ns/net)")
        ->capture_default_str();
    app.add_option("--dst", arguments_.destination,
                   "Only this destination: ADDRESS, ADDRESS:PORT, [IPV6]:PORT or :PORT")
        ->check(not_empty());
    auto* interval = app.add_option("--interval", arguments_.interval,
                                    "Look twice, this far apart (100ms to 60s): adds demand and forecasts");
    auto* watch = app.add_option("--watch", arguments_.watch, "Look again and again, this far apart, until Ctrl-C");
    interval->excludes(watch);
    app.add_flag("--full", arguments_.full,
                 "Walk everything also above 20,000 sockets: half-open counts, bound idle sockets");
    auto* json = app.add_flag("--json", arguments_.json, "One document tidewaiter.census/1 (with --watch one a line)");
    auto* prometheus = app.add_flag("--prometheus", arguments_.prometheus, "Prometheus text format");
    json->excludes(prometheus);
    prometheus->excludes(watch);
    app.add_option("--max-tuples", arguments_.max_tuples, "With --prometheus: tuples with series of their own")
        ->capture_default_str();
    app.add_option("--top", arguments_.top, "Tuples in the table")->capture_default_str();
    app.add_flag("--ascii", arguments_.ascii, "Draw with ASCII only");
    app.add_option("--config", arguments_.config, "Settings in TOML (docs/configuration.md)")->check(not_empty());
  }

  [[nodiscard]] bool wants_json() const override { return arguments_.json; }

  [[nodiscard]] ExitCode run() override {
    auto done = run_or_fail();
    return done ? ExitCode::kFine : report(done.error(), wants_json());
  }

 private:
  base::Result<void> run_or_fail() {
    std::setlocale(LC_CTYPE, "");
    if (auto read = read_arguments(); !read) return read;
    auto network_namespace = kernel::NetworkNamespace::open(arguments_.netns);
    if (!network_namespace) return tl::unexpected(network_namespace.error());
    kernel::Census census(std::move(*network_namespace), configuration_.look);

    InterruptiblePause pause;
    telemetry::DemandTracker demand(configuration_.demand);
    std::optional<telemetry::Sample> before;
    base::Instant next = read_clocks().steady;
    const bool shows_every_look = watch_.has_value();
    for (int looks = 1;; ++looks) {
      auto sample = census.look(read_clocks());
      if (!sample) return tl::unexpected(sample.error());
      const bool is_last = !watch_ && (!interval_ || looks == 2);
      if (before) demand.observe(*before, *sample);
      if (shows_every_look || is_last) {
        if (auto shown = show(*sample, before ? &demand : nullptr); !shown) return shown;
      }
      if (is_last) return {};
      before = std::move(*sample);
      next += watch_ ? *watch_ : *interval_;
      next = std::max(next, before->at.steady + kShortestPause);  // a look that took longer than its interval
      if (!pause.until(next)) return {};
    }
  }

  base::Result<void> read_arguments() {
    const auto interval = read_pace("--interval", arguments_.interval);
    if (!interval) return tl::unexpected(interval.error());
    interval_ = *interval;
    const auto watch = read_pace("--watch", arguments_.watch);
    if (!watch) return tl::unexpected(watch.error());
    watch_ = *watch;
    const auto filter = output::parse_tuple_filter(arguments_.destination);
    if (!filter) return base::wrap(filter.error(), "--dst");
    filter_ = *filter;
    if (auto read = read_configuration(arguments_.config, configuration_); !read) return read;
    if (arguments_.full) configuration_.look.depth = kernel::LookDepth::kFull;
    configuration_.outlook.granule = model::time_wait_granule(kernel::kernel_hz().value_or(kSlowestHz));
    return {};
  }

  [[nodiscard]] output::SeriesLimit series_of(const output::CensusView& view) const {
    output::SeriesLimit series(arguments_.max_tuples);
    series.admit(view);
    return series;
  }

  base::Result<void> show(const telemetry::Sample& sample, const telemetry::DemandTracker* demand) const {
    const auto view = output::view_of(sample, demand, configuration_.outlook, filter_);
    std::string text;
    if (arguments_.json) {
      text = output::census_document(view).dump() + "\n";
    } else if (arguments_.prometheus) {
      text = output::census_metrics(view, series_of(view));
    } else {
      const auto style = style_of_terminal(arguments_.ascii, stdout);
      const output::CensusTableOptions options{arguments_.top, output::CensusTableOptions{}.listeners};
      if (watch_ && isatty(STDOUT_FILENO) == 1) {
        // Redrawn in place: home, then clear what is below, so that the screen does not flicker.
        text = "\x1b[H\x1b[J" + output::census_screen(view, style, style.lines, options);
      } else {
        text = output::census_table(view, style, options);
      }
    }
    return write_standard_output(text);
  }

  static constexpr base::Nanoseconds kShortestPause = base::Milliseconds(10);
  CensusArguments arguments_;
  agent::Configuration configuration_;
  output::TupleFilter filter_;
  std::optional<base::Nanoseconds> interval_;
  std::optional<base::Nanoseconds> watch_;
};

const Registration kRegistration([] { return std::make_unique<CensusCommand>(); });

}  // namespace
}  // namespace tidewaiter::cli
