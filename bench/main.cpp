// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <string>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "bench/question.h"

namespace tidewaiter::bench {
namespace {

constexpr int kNothingRan = 3;

struct Arguments {
  std::string json = "build/bench.json";
  std::string only;
  std::string program;
  bool list = false;
  bool quick = false;
};

std::string program_beside() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path().parent_path() / "tidewaiter").string();
}

/// In the child: never returns.
[[noreturn]] void answer_and_exit(Question& question, const Conditions& conditions, const base::FileDescriptor& sink) {
  Report report;
  try {
    question.answer(conditions, report);
  } catch (const std::exception& error) {
    report.skip(question.name(), error.what());
  }
  const std::string text = report.rows().dump();
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t some = ::write(sink.get(), text.data() + written, text.size() - written);
    if (some < 0 && errno != EINTR) _exit(1);
    if (some > 0) written += static_cast<std::size_t>(some);
  }
  _exit(0);
}

std::string read_all(const base::FileDescriptor& source) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t length = ::read(source.get(), buffer, sizeof buffer);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(length));
  }
}

/// The rows of one question, answered in a child process.
Document ask(Question& question, const Conditions& conditions) {
  Report failed;
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    failed.skip(question.name(), "no pipe to be had");
    return failed.rows();
  }
  const base::FileDescriptor source(ends[0]);
  base::FileDescriptor sink(ends[1]);
  std::fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    answer_and_exit(question, conditions, sink);
  }
  sink.reset();
  const std::string text = child < 0 ? "" : read_all(source);
  int status = 0;
  if (child > 0) {
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  }
  auto rows = Document::parse(text, nullptr, false);
  if (child < 0 || rows.is_discarded()) {
    failed.skip(question.name(), fmt::format("its process failed (wait status {})", status));
    return failed.rows();
  }
  return rows;
}

std::string figure(const Document& value) {
  if (!value.is_number()) return "-";
  const auto number = value.get<double>();
  if (number == 0 || std::abs(number) >= 1000) return fmt::format("{:.0f}", number);
  return fmt::format("{:.3g}", number);
}

std::string bar_of(const Document& row) {
  if (row["bar"].is_null()) return "-";
  const auto better = row["better"].get<std::string>();
  const char* sign = better == "higher" ? ">=" : better == "lower" ? "<=" : "within x";
  return fmt::format("{} {}{}", row["bar_on"] == "ratio" ? "ratio" : "ours", sign, figure(row["bar"]));
}

std::string verdict_of(const Document& row) {
  if (row["pass"].is_null()) return "";
  return row["pass"].get<bool>() ? "pass" : "MISSED";
}

void print_table(const Document& rows) {
  std::size_t width = 0;
  for (const Document& row : rows) width = std::max(width, row["name"].get_ref<const std::string&>().size());
  utsname host{};
  uname(&host);
  fmt::print("Linux {}, {} processors\n\n", host.release, sysconf(_SC_NPROCESSORS_ONLN));
  fmt::print("{:<{}}  {:>9} {:>9}  {:<6} {:>8}  {:<16} {}\n", "question", width, "ours", "reference", "unit", "ratio",
             "bar", "verdict");
  for (const Document& row : rows) {
    const auto& name = row["name"].get_ref<const std::string&>();
    if (row.contains("skipped")) {
      fmt::print("{:<{}}  skipped: {}\n", name, width, row["skipped"].get<std::string>());
      continue;
    }
    fmt::print("{:<{}}  {:>9} {:>9}  {:<6} {:>8}  {:<16} {}\n", name, width, figure(row["ours"]),
               figure(row["reference"]), row["unit"].get<std::string>(), figure(row["ratio"]), bar_of(row),
               verdict_of(row));
  }
}

bool write_json(const std::string& path, const Document& rows) {
  const auto folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  std::ofstream file(path);
  file << rows.dump(2) << "\n";
  file.close();
  if (!file) fmt::print(stderr, "bench: cannot write {}\n", path);
  return static_cast<bool>(file);
}

int run(const Arguments& arguments) {
  Conditions conditions{
      arguments.program.empty() ? program_beside() : std::filesystem::absolute(arguments.program).string(),
      arguments.quick};
  Document rows = Document::array();
  for (const auto& question : make_questions()) {
    if (question->name().find(arguments.only) == std::string::npos) continue;
    if (arguments.list) {
      fmt::print("{:<16} {}\n", question->name(), question->summary());
      continue;
    }
    progress(fmt::format("{}: {}", question->name(), question->summary()));
    for (Document& row : ask(*question, conditions)) rows.push_back(std::move(row));
  }
  if (arguments.list) return 0;
  print_table(rows);
  const bool written = write_json(arguments.json, rows);
  const bool ran = std::any_of(rows.begin(), rows.end(), [](const Document& row) { return !row.contains("skipped"); });
  return ran && written ? 0 : kNothingRan;
}

int run_program(int argc, const char* const* argv) {
  CLI::App app("Benchmarks side by side; bench/README.md says what the rows mean", "tidewaiter-bench");
  Arguments arguments;
  app.add_option("--json", arguments.json, "Where the rows go")->capture_default_str();
  app.add_option("--only", arguments.only, "Only the questions whose name contains this");
  app.add_option("--program", arguments.program, "The tidewaiter under test (default: the one of this build tree)");
  app.add_flag("--list", arguments.list, "The questions, and nothing else");
  app.add_flag("--quick", arguments.quick, "3 pairs instead of 15: to see that it runs, not how fast");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    return status == 0 ? 0 : 2;
  }
  return run(arguments);
}

}  // namespace
}  // namespace tidewaiter::bench

int main(int argc, char** argv) {
  try {
    return tidewaiter::bench::run_program(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tidewaiter-bench: %s\n", error.what());
    return 70;
  }
}
