// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <malloc.h>
#include <optional>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/configuration.h"
#include "agent/state_directory.h"
#include "base/settings.h"
#include "cli/command.h"
#include "cli/configuration_file.h"
#include "cli/program.h"
#include "cli/standard_output.h"
#include "serve/listen_address.h"

namespace tidewaiter::cli {
namespace {

struct RunArguments {
  std::string config;
  std::string listen = "127.0.0.1:9650";
  std::string state_directory;
  std::string instance;
  std::string interval = "1s";
  std::string netns = "self";
  std::string duration;
  std::size_t max_tuples = agent::kDefaultMaxTuples;
  bool print_config = false;
  bool json_lines = false;
};

base::Result<base::Nanoseconds> read_duration(const std::string& option, const std::string& text,
                                              base::Nanoseconds shortest, base::Nanoseconds longest) {
  const auto duration = base::parse_duration(text);
  if (!duration) return base::wrap(duration.error(), option);
  if (*duration >= shortest && *duration <= longest) return *duration;
  return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("{}: '{}' is out of range", option, text),
                    fmt::format("from {} to {}", base::format_duration(shortest), base::format_duration(longest)));
}

/// The threads of HTTP and journal share few arenas, and what a look frees goes back to the system, but for what the
/// next one needs at once: at 100,000 sockets the faults on fresh pages were a fifth of a look.
void keep_memory_small() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

/// Standard output is for documents; unless told, the library logs there.
void log_to_standard_error() { spdlog::set_default_logger(spdlog::stderr_color_mt("tidewaiter")); }

void allow_many_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

class RunCommand final : public Command {
 public:
  [[nodiscard]] std::string name() const override { return "run"; }
  [[nodiscard]] std::string summary() const override {
    return "Run the agent: observe, decide, publish; page, API and metrics on loopback";
  }
  [[nodiscard]] std::vector<std::string> examples() const override {
    return {"tidewaiter run                                  this host, http://127.0.0.1:9650/, until Ctrl-C",
            "tidewaiter run --config /etc/tidewaiter.toml",
            "tidewaiter run --print-config > tidewaiter.toml every setting with its value",
            "tidewaiter run --netns blue --state-dir /var/lib/tidewaiter-blue --listen 127.0.0.1:9651",
            "tidewaiter run --json-lines --duration 10s     one document a window on standard output"};
  }

  void add_options(CLI::App& app) override {
    app.add_option("--config", arguments_.config, "Settings in TOML (docs/configuration.md)")->check(not_empty());
    app.add_option("--listen", arguments_.listen, "ADDRESS:PORT on loopback for page, API and metrics; port 0: any")
        ->capture_default_str();
    app.add_option("--state-dir", arguments_.state_directory,
                   "Journal, socket and lock (default: /var/lib/tidewaiter for root, else "
                   "$XDG_STATE_HOME/tidewaiter)")
        ->check(not_empty());
    app.add_option("--instance", arguments_.instance,
                   "Name in documents (default: default- and a hash of the state directory)");
    app.add_option("--interval", arguments_.interval, "Between two windows, 100ms to 60s")->capture_default_str();
    app.add_option("--netns", arguments_.netns, "Network namespace: self, a name of `ip netns`, or a path")
        ->capture_default_str();
    app.add_option("--duration", arguments_.duration, "Stop by itself after this long");
    app.add_option("--max-tuples", arguments_.max_tuples, "Tuples with time series and journal rows of their own")
        ->capture_default_str()
        ->check(CLI::Range(1, 10'000));
    app.add_flag("--print-config", arguments_.print_config, "Print every setting with its value, as TOML, and end");
    app.add_flag("--json-lines", arguments_.json_lines, "One document tidewaiter.window/1 a line on standard output");
  }

  [[nodiscard]] bool wants_json() const override { return arguments_.json_lines; }

  [[nodiscard]] ExitCode run() override {
    auto done = run_or_fail();
    return done ? ExitCode::kFine : report(done.error(), wants_json());
  }

 private:
  base::Result<void> run_or_fail() {
    auto options = read_arguments();
    if (!options) return tl::unexpected(options.error());
    if (arguments_.print_config) {
      return write_standard_output(base::to_toml(agent::settings_of(options->configuration)));
    }
    log_to_standard_error();
    keep_memory_small();
    allow_many_descriptors();
    agent::Announcements announcements;
    announcements.ready = [&](const serve::ListenAddress& address) {
      fmt::print(stderr, "tidewaiter: watching network namespace '{}' every {}; page: http://{}/\n", options->netns,
                 base::format_duration(options->interval), address.text());
      if (isatty(STDERR_FILENO) == 1)
        fmt::print(stderr, "tidewaiter: Ctrl-C stops it; `tidewaiter top` shows it here\n");
    };
    return agent::run(*options, announcements);
  }

  base::Result<agent::Options> read_arguments() {
    agent::Options options;
    const auto listen = serve::ListenAddress::parse(arguments_.listen);
    if (!listen) return base::wrap(listen.error(), "--listen");
    options.listen = *listen;
    options.state_directory =
        arguments_.state_directory.empty() ? agent::default_state_directory() : arguments_.state_directory;
    options.instance = arguments_.instance;
    options.netns = arguments_.netns;
    options.max_tuples = arguments_.max_tuples;
    options.json_lines = arguments_.json_lines;
    const auto interval = read_duration("--interval", arguments_.interval, base::Milliseconds(100), base::Seconds(60));
    if (!interval) return tl::unexpected(interval.error());
    options.interval = *interval;
    if (!arguments_.duration.empty()) {
      const auto duration =
          read_duration("--duration", arguments_.duration, base::Milliseconds(100), base::Seconds(86'400 * 365));
      if (!duration) return tl::unexpected(duration.error());
      options.duration = *duration;
    }
    if (auto read = read_configuration(arguments_.config, options.configuration); !read)
      return tl::unexpected(read.error());
    return options;
  }

  RunArguments arguments_;
};

const Registration kRegistration([] { return std::make_unique<RunCommand>(); });

}  // namespace
}  // namespace tidewaiter::cli
