// SPDX-License-Identifier: Apache-2.0
#include "bench/harness.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sstream>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "base/stopwatch.h"

namespace tidewaiter::bench {
namespace {

constexpr base::Nanoseconds kSampleTime = base::Milliseconds(20);

double quantile(const std::vector<double>& sorted, double share) {
  const double position = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(position));
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - std::floor(position)) * (sorted[above] - sorted[below]);
}

base::Nanoseconds duration_of(const timeval& time) {
  return base::Seconds(time.tv_sec) + base::Microseconds(time.tv_usec);
}

/// Where a child's descriptors 0, 1 and 2 lead.
class Streams {
 public:
  Streams() { posix_spawn_file_actions_init(&actions_); }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;
  ~Streams() { posix_spawn_file_actions_destroy(&actions_); }

  void to_null(int stream, int mode) { posix_spawn_file_actions_addopen(&actions_, stream, "/dev/null", mode, 0); }
  void to(int stream, int descriptor) { posix_spawn_file_actions_adddup2(&actions_, descriptor, stream); }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

std::string read_all(const base::FileDescriptor& source) {
  std::string text;
  std::vector<char> buffer(64 * 1024);
  while (true) {
    const ssize_t length = ::read(source.get(), buffer.data(), buffer.size());
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(length));
  }
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  assert(!values.empty());
  std::sort(values.begin(), values.end());
  return {quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75)};
}

Comparison comparison_of(const std::vector<double>& ours, const std::vector<double>& reference) {
  assert(ours.size() == reference.size());
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(reference[i] / ours[i]);
  return {spread_of(ours), spread_of(reference), spread_of(ratios), ours.size()};
}

Comparison compare(std::size_t pairs, const std::function<double()>& ours, const std::function<double()>& reference) {
  std::vector<double> our_figures;
  std::vector<double> reference_figures;
  for (std::size_t pair = 0; pair <= pairs; ++pair) {
    const double our_figure = ours();
    const double reference_figure = reference();
    if (pair == 0) continue;
    our_figures.push_back(our_figure);
    reference_figures.push_back(reference_figure);
  }
  return comparison_of(our_figures, reference_figures);
}

Repeated::Repeated(std::function<void()> work, double units) : work_(std::move(work)), units_(units) {}

base::Nanoseconds Repeated::time(std::size_t calls) const {
  const base::Stopwatch stopwatch;
  for (std::size_t call = 0; call < calls; ++call) work_();
  return stopwatch.elapsed();
}

double Repeated::operator()() {
  if (calls_ == 0) {
    std::size_t calls = 1;
    base::Nanoseconds took = time(calls);
    while (took < kSampleTime / 4) took = time(calls *= 2);
    const double one = static_cast<double>(took.count()) / static_cast<double>(calls);
    calls_ = static_cast<std::size_t>(std::max(1.0, static_cast<double>(kSampleTime.count()) / one));
  }
  return static_cast<double>(time(calls_).count()) / (static_cast<double>(calls_) * units_);
}

base::Result<CommandCost> run_command(const std::vector<std::string>& argv, Output output) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);

  Streams streams;
  streams.to_null(STDIN_FILENO, O_RDONLY);
  streams.to_null(STDERR_FILENO, O_WRONLY);
  base::FileDescriptor source;
  base::FileDescriptor sink;
  if (output == Output::kCapture) {
    int ends[2] = {-1, -1};
    if (pipe2(ends, O_CLOEXEC) != 0) return base::fail_errno(errno, "make a pipe");
    source = base::FileDescriptor(ends[0]);
    sink = base::FileDescriptor(ends[1]);
    streams.to(STDOUT_FILENO, sink.get());
  } else {
    streams.to_null(STDOUT_FILENO, O_WRONLY);
  }

  CommandCost cost;
  const base::Stopwatch stopwatch;
  pid_t child = 0;
  const int error = posix_spawn(&child, argv.front().c_str(), streams.get(), nullptr, arguments.data(), environ);
  if (error != 0) return base::fail_errno(error, fmt::format("start {}", argv.front()));
  sink.reset();
  if (output == Output::kCapture) cost.output = read_all(source);
  int status = 0;
  rusage usage{};
  while (wait4(child, &status, 0, &usage) < 0) {
    if (errno != EINTR) return base::fail_errno(errno, fmt::format("wait for {}", argv.front()));
  }
  cost.wall = stopwatch.elapsed();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return base::fail(base::ErrorCode::kUnavailable, fmt::format("{} ended with wait status {}", argv.front(), status));
  }
  cost.user = duration_of(usage.ru_utime);
  cost.system = duration_of(usage.ru_stime);
  cost.resident_peak_bytes = static_cast<double>(usage.ru_maxrss) * 1024;
  return cost;
}

Comparison CommandPairs::by(const std::function<double(const CommandCost&)>& figure) const {
  std::vector<double> our_figures;
  std::vector<double> reference_figures;
  for (const CommandCost& cost : ours) our_figures.push_back(figure(cost));
  for (const CommandCost& cost : reference) reference_figures.push_back(figure(cost));
  return comparison_of(our_figures, reference_figures);
}

base::Result<CommandPairs> compare_commands(std::size_t pairs, const std::vector<std::string>& ours,
                                            const std::vector<std::string>& reference) {
  CommandPairs result;
  for (std::size_t pair = 0; pair <= pairs; ++pair) {
    auto our_cost = run_command(ours);
    if (!our_cost) return tl::unexpected(our_cost.error());
    auto reference_cost = run_command(reference);
    if (!reference_cost) return tl::unexpected(reference_cost.error());
    if (pair == 0) continue;
    result.ours.push_back(std::move(*our_cost));
    result.reference.push_back(std::move(*reference_cost));
  }
  return result;
}

std::string find_program(const std::string& name) {
  const char* const path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): no thread here
  std::istringstream folders(path == nullptr ? "/usr/bin:/bin:/usr/sbin:/sbin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string file = folder + "/" + name;
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

}  // namespace tidewaiter::bench
