// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <dirent.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <memory>
#include <netinet/in.h>
#include <optional>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "bench/question.h"
#include "kernel/connect_probe.h"
#include "kernel/testing/private_network.h"

namespace tidewaiter::bench {
namespace {

using Clock = std::chrono::steady_clock;
const telemetry::Address kLoopback = telemetry::Address::v4(0x7f000001);

/// Both ends of connections in one thread: socket, connect, accept, and a close by reset that leaves no TIME_WAIT.
class Cycle {
 public:
  [[nodiscard]] static base::Result<Cycle> open(std::uint16_t port) {
    auto listener = kernel::testing::listen_on(kLoopback, port, 16);
    if (!listener) return tl::unexpected(listener.error());
    return Cycle(std::move(*listener), port);
  }

  /// False when something failed.
  [[nodiscard]] bool run() const {
    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const linger reset{1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    const bool is_connected = ::connect(client, reinterpret_cast<const sockaddr*>(&to_), sizeof to_) == 0;
    const int server = is_connected ? ::accept(listener_.get(), nullptr, nullptr) : -1;
    ::close(client);
    if (server >= 0) ::close(server);
    return server >= 0;
  }

 private:
  Cycle(base::FileDescriptor listener, std::uint16_t port) : listener_(std::move(listener)) {
    to_.sin_family = AF_INET;
    to_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to_.sin_port = htons(port);
  }
  base::FileDescriptor listener_;
  sockaddr_in to_{};
};

double thread_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

/// CPU time of one cycle in nanoseconds, over some 100 ms.
double cost_of(const Cycle& cycle) {
  constexpr int kCycles = 10'000;
  for (int i = 0; i < 500; ++i) keep(cycle.run());
  const double began = thread_cpu_ns();
  for (int i = 0; i < kCycles; ++i) keep(cycle.run());
  return (thread_cpu_ns() - began) / kCycles;
}

base::Result<kernel::ConnectProbe> attach(kernel::ConnectHooks hooks = kernel::ConnectHooks::kAutomatic) {
  auto self = kernel::NetworkNamespace::open("self");
  if (!self) return tl::unexpected(self.error());
  kernel::SourceTable table;
  kernel::ConnectProbeOptions options;
  options.hooks = hooks;
  return kernel::ConnectProbe::attach(*self, options, table);
}

/// CPU nanoseconds of all threads of a process so far.
double cpu_ns_of(pid_t process) {
  double sum = 0;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process), error)) {
    std::ifstream file(task.path() / "schedstat");
    double ns = 0;
    file >> ns;
    sum += ns;
  }
  return sum;
}

/// An agent in the calling thread's namespace; killed with the object.
class Agent {
 public:
  [[nodiscard]] static base::Result<Agent> start(const std::string& program, const std::string& hooks) {
    std::string directory = "/tmp/tidewaiter-bench-XXXXXX";
    if (mkdtemp(directory.data()) == nullptr) return base::fail_errno(errno, "mkdtemp");
    std::ofstream(directory + "/settings.toml") << fmt::format("[connects]\nhooks = \"{}\"\n", hooks);
    const pid_t child = fork();
    if (child == 0) {
      static_cast<void>(std::freopen("/dev/null", "w", stderr));
      execl(program.c_str(), program.c_str(), "run", "--state-dir", directory.c_str(), "--listen", "127.0.0.1:0",
            "--config", (directory + "/settings.toml").c_str(), nullptr);
      _exit(127);
    }
    Agent agent(child, directory);
    const auto deadline = Clock::now() + std::chrono::seconds(10);
    while (!std::filesystem::exists(directory + "/address")) {
      if (Clock::now() > deadline) return base::fail(base::ErrorCode::kUnavailable, "the agent did not start");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return agent;
  }
  Agent(Agent&& other) noexcept
      : process_(std::exchange(other.process_, -1)), directory_(std::move(other.directory_)) {}
  Agent& operator=(Agent&&) = delete;
  ~Agent() {
    if (process_ < 0) return;
    kill(process_, SIGTERM);
    waitpid(process_, nullptr, 0);
    std::error_code error;
    std::filesystem::remove_all(directory_, error);
  }
  [[nodiscard]] double cpu_ns() const { return cpu_ns_of(process_); }

 private:
  Agent(pid_t process, std::string directory) : process_(process), directory_(std::move(directory)) {}
  pid_t process_;
  std::string directory_;
};

/// `per_s` cycles a second for as long as said; returns how many there were.
std::uint64_t paced(const Cycle& cycle, double per_s, std::chrono::milliseconds duration) {
  const auto began = Clock::now();
  std::uint64_t done = 0;
  while (Clock::now() - began < duration) {
    const double due = std::chrono::duration<double>(Clock::now() - began).count() * per_s;
    if (static_cast<double>(done) < due) {
      keep(cycle.run());
      ++done;
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  return done;
}

class Connects final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "connects"; }
  [[nodiscard]] std::string summary() const override { return "What does it cost to see every connect?"; }

  void answer(const Conditions& conditions, Report& report) override {
    auto network = kernel::testing::PrivateNetwork::create();
    if (!network) return report.skip(name(), network.error());
    const auto cycle = Cycle::open(9000);
    if (!cycle) return report.skip(name(), cycle.error());
    ask_cost({"tracepoints and connect hook", kernel::ConnectHooks::kTracepoints, 1'200, 1 / 1.13}, *cycle, conditions,
             report);
    ask_cost({"cgroup root", kernel::ConnectHooks::kCgroup, 1'600, 1 / 1.17}, *cycle, conditions, report);
    ask_rate(conditions, report);
    ask_agent(*cycle, conditions, report);
  }

 private:
  struct Hooks {
    std::string what;
    kernel::ConnectHooks hooks;
    double bar_ns;
    double bar_ratio;
  };

  static void ask_cost(const Hooks& hooks, const Cycle& cycle, const Conditions& conditions, Report& report) {
    const std::string& what = hooks.what;
    progress("connects: " + what);
    if (auto probe = attach(hooks.hooks); !probe) return report.skip("connects: " + what, probe.error());
    std::vector<double> ours;
    std::vector<double> reference;
    std::vector<double> added;
    for (std::size_t pair = 0; pair <= conditions.pairs(); ++pair) {
      const double bare = cost_of(cycle);
      const auto probe = attach(hooks.hooks);
      if (!probe) return report.skip("connects: " + what, probe.error());
      const double watched = cost_of(cycle);
      if (pair == 0) continue;  // warms up
      reference.push_back(bare);
      ours.push_back(watched);
      added.push_back(watched - bare);
    }
    Row row = row_of("connects: CPU of a connection, both ends, " + what + "; beside none", "ns",
                     comparison_of(ours, reference));
    row.bar = Bar{hooks.bar_ratio, Bar::On::kRatio};
    row.better = Better::kHigher;
    row.note = "socket, connect, accept, close by reset in one thread; attached anew for each pair";
    report.add(row);
    Row difference{.name = "connects: added by " + what,
                   .unit = "ns",
                   .ours = spread_of(added),
                   .bar = Bar{hooks.bar_ns, Bar::On::kOurs},
                   .samples = added.size(),
                   .note = "per connection, both ends on one host"};
    report.add(difference);
  }

  /// As fast as two threads go, all counted?
  static void ask_rate(const Conditions& conditions, Report& report) {
    progress("connects: rate");
    std::vector<double> rates;
    std::vector<double> lost;
    for (std::size_t run = 0; run < (conditions.is_quick ? 1U : 5U); ++run) {
      auto probe = attach();
      if (!probe) return report.skip("connects: rate", probe.error());
      std::atomic<bool> is_over = false;
      std::atomic<std::uint64_t> made = 0;
      std::vector<std::thread> threads;
      for (std::uint16_t i = 0; i < 2; ++i) {
        auto cycle = std::make_shared<base::Result<Cycle>>(Cycle::open(static_cast<std::uint16_t>(9100 + i)));
        if (!*cycle) return report.skip("connects: rate", cycle->error());
        threads.emplace_back([cycle, &is_over, &made] {
          std::uint64_t done = 0;
          while (!is_over) done += (*cycle)->run() ? 1 : 0;
          made += done;
        });
      }
      const auto began = Clock::now();
      std::this_thread::sleep_for(std::chrono::seconds(2));
      is_over = true;
      for (std::thread& thread : threads) thread.join();
      const double elapsed = std::chrono::duration<double>(Clock::now() - began).count();
      const auto reading = probe->read(base::Instant(Clock::now()));
      if (!reading) return report.skip("connects: rate", reading.error());
      std::uint64_t seen = 0;
      for (const auto& entry : reading->tuples) seen += entry.totals.established;
      rates.push_back(static_cast<double>(made) / elapsed);
      lost.push_back(static_cast<double>(made) - static_cast<double>(seen));
    }
    report.add({.name = "connects: seen per second, two threads at full speed",
                .unit = "1/s",
                .ours = spread_of(rates),
                .bar = Bar{100'000, Bar::On::kOurs},
                .better = Better::kHigher,
                .samples = rates.size(),
                .note = fmt::format("both ends on this machine; made less counted: {}", spread_of(lost).median)});
    report.add({.name = "connects: made at full speed less counted",
                .unit = "connects",
                .ours = spread_of(lost),
                .bar = Bar{0, Bar::On::kOurs},
                .samples = lost.size()});
  }

  /// What the agent itself takes while 10,000 connects a second are made, beside one that does not look at connects.
  static void ask_agent(const Cycle& cycle, const Conditions& conditions, Report& report) {
    constexpr double kPerSecond = 10'000;
    progress("connects: agent");
    const auto share = [&](const std::string& hooks) -> base::Result<double> {
      auto agent = Agent::start(conditions.program, hooks);
      if (!agent) return tl::unexpected(agent.error());
      static_cast<void>(paced(cycle, kPerSecond, std::chrono::milliseconds(1'500)));
      const double before = agent->cpu_ns();
      const auto began = Clock::now();
      static_cast<void>(paced(cycle, kPerSecond, std::chrono::milliseconds(conditions.is_quick ? 2'000 : 6'000)));
      const double elapsed = std::chrono::duration<double, std::nano>(Clock::now() - began).count();
      return (agent->cpu_ns() - before) / elapsed * 100;
    };
    std::vector<double> ours;
    std::vector<double> reference;
    for (int pair = 0; pair < (conditions.is_quick ? 1 : 3); ++pair) {
      const auto seeing = share("automatic");
      const auto blind = share("off");
      if (!seeing) return report.skip("connects: agent", seeing.error());
      if (!blind) return report.skip("connects: agent", blind.error());
      ours.push_back(*seeing);
      reference.push_back(*blind);
    }
    Row row = row_of("connects: agent's CPU at 10,000 connects/s; beside one that does not see them", "% of a core",
                     comparison_of(ours, reference));
    row.bar = Bar{5, Bar::On::kOurs};
    report.add(row);
  }
};

const Registration kRegistration([] { return std::make_unique<Connects>(); });

}  // namespace
}  // namespace tidewaiter::bench
