// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/board_records.h"
#include "agent/journal_rows.h"
#include "agent/observer.h"
#include "base/stopwatch.h"
#include "bench/question.h"
#include "bench/socket_farm.h"
#include "board/parameter_block_writer.h"
#include "kernel/host.h"
#include "model/release_schedule.h"
#include "output/agent_documents.h"

namespace tidewaiter::bench {
namespace {

constexpr std::size_t kMany = 100'000;
constexpr std::size_t kUsual = 50'000;
constexpr base::Nanoseconds kWatched = base::Seconds(15);  // twice that has to fit into a TIME_WAIT's 60 s
constexpr int kSharePairs = 2;
constexpr base::Nanoseconds kQuickly = base::Seconds(4);
constexpr base::Nanoseconds kSettling = base::Seconds(4);
constexpr double kInPercent = 100;

base::Moment clocks() { return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; }

/// A program that runs beside, from its start to the end of this.
class Background {
 public:
  explicit Background(const std::vector<std::string>& argv) {
    std::vector<char*> arguments;
    for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    const pid_t parent = getpid();
    process_ = fork();
    if (process_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int nowhere = ::open("/dev/null", O_RDWR);
    for (const int descriptor : {0, 1, 2}) dup2(nowhere, descriptor);
    if (getppid() == parent) ::execv(arguments[0], arguments.data());
    _exit(127);
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background() {
    if (process_ > 0) static_cast<void>(end());
  }

  /// CPU of its threads so far. Absent: it is not there.
  [[nodiscard]] std::optional<base::Nanoseconds> cost() const {
    std::int64_t sum = 0;
    std::error_code error;
    for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process_), error)) {
      std::ifstream file(task.path() / "schedstat");
      std::int64_t nanoseconds = 0;
      if (file >> nanoseconds) sum += nanoseconds;
    }
    return error ? std::nullopt : std::optional(base::Nanoseconds(sum));
  }

  /// SIGTERM, and what it and its children cost over their lives.
  [[nodiscard]] base::Nanoseconds end() {
    kill(process_, SIGTERM);
    rusage usage{};
    while (wait4(process_, nullptr, 0, &usage) < 0 && errno == EINTR) {
    }
    process_ = -1;
    const auto time = [](const timeval& value) {
      return base::Seconds(value.tv_sec) + base::Microseconds(value.tv_usec);
    };
    return time(usage.ru_utime) + time(usage.ru_stime);
  }

  /// A line of /proc/PID/status in bytes; absent when it is not there.
  [[nodiscard]] std::optional<double> memory(const std::string& name) const {
    std::ifstream file(fmt::format("/proc/{}/status", process_));
    for (std::string line; std::getline(file, line);) {
      if (line.rfind(name + ":", 0) == 0) return std::strtod(line.c_str() + name.size() + 1, nullptr) * 1024;
    }
    return std::nullopt;
  }

 private:
  pid_t process_ = -1;
};

/// A child that connects 100 times a second to one destination and closes each connection: 6,000 TIME_WAITs.
class Churn {
 public:
  Churn() {
    const auto listener = kernel::testing::listen_on(kTo, kPort, 64);
    if (!listener) return;
    const pid_t parent = getpid();
    process_ = fork();
    if (process_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent) {
      auto client = kernel::testing::connect_to(kTo, kPort);
      const auto server = kernel::testing::accept_from(*listener);
      if (!client || !server) _exit(1);
      client->reset();
      usleep(10'000);
    }
    _exit(0);
  }
  Churn(const Churn&) = delete;
  Churn& operator=(const Churn&) = delete;
  ~Churn() {
    if (process_ <= 0) return;
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }

 private:
  static constexpr std::uint16_t kPort = 9001;
  static constexpr telemetry::Address kTo = telemetry::Address::v4(0x7f000001);
  pid_t process_ = -1;
};

/// A directory for an agent, gone with this.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tidewaiter-bench-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void sleep_for(base::Nanoseconds duration) {
  const auto seconds = std::chrono::duration_cast<base::Seconds>(duration);
  timespec time{seconds.count(), (duration - seconds).count()};
  while (nanosleep(&time, &time) != 0 && errno == EINTR) {
  }
}

/// Where a pass spends its time; medians over `passes`.
struct Shares {
  std::vector<double> window, look, board, rows, document;
};

class AgentCost final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "agent"; }
  [[nodiscard]] std::string summary() const override { return "What does the agent cost while it watches?"; }

  void answer(const Conditions& conditions, Report& report) override {
    program_ = conditions.program;
    watched_ = conditions.is_quick ? kQuickly : kWatched;
    pairs_ = conditions.pairs();
    // The program first: it starts with the mark of its parent's memory.
    if (auto farm = SocketFarm::build(kMany)) {
      measure_rows(*farm, report, "run at 100000: resident", [&] { return memory(); });
    } else {
      report.skip("run at 100000: resident", farm.error());
    }
    if (const auto farm = SocketFarm::build(kMany, SocketFarm::Mix::kEstablished)) {
      measure_events(report);
    } else {
      report.skip("run at 100000 by events", farm.error());
    }
    if (auto farm = SocketFarm::build(kUsual)) {
      measure_shares(*farm, report);
      measure_rows(*farm, report, "pass at 50000", [&] { return beside_look(); });
    } else {
      report.skip("run at 50000", farm.error());
    }
  }

 private:
  using Rows = base::Result<std::vector<Row>>;

  [[nodiscard]] std::vector<std::string> agent_in(const Scratch& scratch) const {
    return {program_, "run", "--listen", "127.0.0.1:0", "--state-dir", scratch.path(), "--interval", "1s"};
  }

  [[nodiscard]] Rows memory() const {
    const Scratch scratch;
    Background agent(agent_in(scratch));
    sleep_for(watched_ + watched_ / 3);  // 20 windows
    const auto resident = agent.memory("VmRSS");
    const auto peak = agent.memory("VmHWM");
    if (!resident || !peak) return base::fail(base::ErrorCode::kUnavailable, "the agent did not run");
    const auto figure = [](const char* what, double bytes) {
      Row row;
      row.name = fmt::format("run --interval 1s at 100000, 64 tuples: {}", what);
      row.unit = "MB";
      row.ours = spread_of({bytes / 1e6});
      row.bar = Bar{25, Bar::On::kOurs};
      row.samples = 1;
      return row;
    };
    return std::vector<Row>{figure("resident", *resident), figure("peak resident", *peak)};
  }

  /// CPU of the agent, and of what people do without it, as shares of a core. Each pair takes half a minute, so there
  /// are few of them, each in a farm of its own.
  void measure_shares(SocketFarm& farm, Report& report) const {
    const char* const what = "run --interval 1s at 50000: share of a core; beside ss -tan | wc -l once a second";
    const std::vector<std::string> loop = {"/bin/sh", "-c", "while :; do ss -tan | wc -l; sleep 1; done"};
    std::vector<double> ours;
    std::vector<double> reference;
    const Scratch scratch;
    for (int pair = 0; pair < kSharePairs; ++pair) {
      double our_share = 0;
      double reference_share = 0;
      const auto measured = farm.measure([&]() -> base::Result<void> {
        const auto settled = settled_share_of(agent_in(scratch), watched_);
        if (!settled) return base::fail(base::ErrorCode::kUnavailable, "the agent did not run");
        our_share = *settled;
        reference_share = share_of(loop);
        return {};
      });
      if (!measured) return report.skip(what, measured.error());
      ours.push_back(our_share);
      reference.push_back(reference_share);
    }
    Row row = row_of(what, "%", comparison_of(ours, reference));
    row.bar = Bar{2, Bar::On::kOurs};
    row.note = "CPU of all our threads from the fifth second on; of the loop over its life";
    report.add(row);
  }

  /// The agent where it has settled, with events beside without; inside the farm, whose sockets stay.
  void measure_events(Report& report) const {
    const char* const what = "run --interval 1s at 100000, 100 connects/s: share of a core; beside look.events = off";
    progress(what);
    std::vector<double> ours;
    std::vector<double> reference;
    const Scratch scratch;
    const std::string without = scratch.path() + "/without.toml";
    std::ofstream(without) << "[look]\nevents = \"off\"\n";
    const Churn churn;
    for (int pair = 0; pair < kSharePairs; ++pair) {
      for (const bool is_ours : {true, false}) {
        auto argv = agent_in(scratch);
        if (!is_ours) argv.insert(argv.end(), {"--config", without});
        const auto share = settled_share_of(argv, is_ours ? 2 * watched_ : watched_);
        if (!share)
          return report.skip(what, base::Error{base::ErrorCode::kUnavailable, 0, {"the agent did not run"}, {}});
        (is_ours ? ours : reference).push_back(*share);
      }
    }
    Row row = row_of(what, "%", comparison_of(ours, reference));
    row.bar = Bar{0.3, Bar::On::kOurs};
    row.note = "CPU of all its threads from its fifth second on, over 30 s: as long as from one dump to the next";
    report.add(row);
  }

  [[nodiscard]] static std::optional<double> settled_share_of(const std::vector<std::string>& argv,
                                                              base::Nanoseconds watched) {
    const Background program(argv);
    sleep_for(kSettling);
    const auto before = program.cost();
    const base::Stopwatch stopwatch;
    sleep_for(watched);
    const auto after = program.cost();
    if (!before || !after) return std::nullopt;
    return kInPercent * in_milliseconds(*after - *before) / in_milliseconds(stopwatch.elapsed());
  }

  [[nodiscard]] double share_of(const std::vector<std::string>& argv) const {
    const base::Stopwatch stopwatch;
    Background program(argv);
    sleep_for(watched_);
    const base::Nanoseconds cost = program.end();
    return kInPercent * in_milliseconds(cost) / in_milliseconds(stopwatch.elapsed());
  }

  [[nodiscard]] Rows beside_look() const {
    auto self = kernel::NetworkNamespace::open("self");
    auto same = kernel::NetworkNamespace::open("self");
    auto block = board::ParameterBlockWriter::create({});
    if (!self || !same || !block) return base::fail(base::ErrorCode::kUnavailable, "no namespace or no memory");
    agent::Configuration configuration;
    configuration.outlook.granule = model::time_wait_granule(kernel::kernel_hz().value_or(100));
    auto setup = std::make_shared<agent::Setup>();
    agent::Observer observer({std::move(*self)}, configuration, setup, clocks().steady);
    kernel::Census census(std::move(*same), configuration.look);
    output::SeriesLimit series;
    Shares shares;
    const auto timed = [](std::vector<double>& into, const auto& work) {
      const base::CpuStopwatch stopwatch;
      auto result = work();
      into.push_back(in_milliseconds(stopwatch.elapsed()));
      return result;
    };
    for (std::size_t pass = 0; pass < pairs_ + 2; ++pass) {
      if (pass == 2) shares = {};  // the first look compares with nothing, the second warms up
      const auto window = timed(shares.window, [&] { return observer.window(clocks()); });
      if (!window) return tl::unexpected(window.error());
      const auto look = timed(shares.look, [&] { return census.look(clocks()); });
      if (!look) return tl::unexpected(look.error());
      agent::Snapshot& snapshot = **window;
      snapshot.observer.interval = base::Seconds(1);
      series.admit(snapshot.look->census);
      timed(shares.board, [&] {
        block->publish(agent::board_host(snapshot), agent::board_tuples(snapshot), clocks().steady);
        return 0;
      });
      keep(timed(shares.rows, [&] { return agent::journal_rows(snapshot, series); }));
      keep(timed(shares.document, [&] { return output::window_document(snapshot.view()).dump(); }));
    }
    const auto part = [&](const char* what, const std::vector<double>& values) {
      Row row;
      row.name = fmt::format("pass at 50000: {}", what);
      row.unit = "ms";
      row.ours = spread_of(values);
      row.samples = values.size();
      return row;
    };
    Row pass = row_of("pass at 50000: look, flow, outlooks, control; beside the look alone", "ms",
                      comparison_of(shares.window, shares.look));
    pass.note = "CPU time of the thread, in this process";
    return std::vector<Row>{pass, part("parameter block", shares.board), part("rows for the journal", shares.rows),
                            part("status as text", shares.document)};
  }

  std::string program_;
  base::Nanoseconds watched_ = kWatched;
  std::size_t pairs_ = 0;
};

const Registration kRegistration([] { return std::make_unique<AgentCost>(); });

}  // namespace
}  // namespace tidewaiter::bench
