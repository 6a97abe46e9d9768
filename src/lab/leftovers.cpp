// SPDX-License-Identifier: Apache-2.0
#include "lab/leftovers.h"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "lab/cgroup.h"
#include "lab/pidfd.h"

namespace tidewaiter::lab {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kKeptPrefix = "tidewaiter-lab-kept-";  // followed by a random part, not by an owner

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return number;
}

std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The owner in an environment block ("A=1\0B=2\0…").
std::optional<ProcessIdentity> owner_in(std::string_view environment) {
  const std::string prefix = std::string(kOwnerVariable) + "=";
  while (!environment.empty()) {
    const std::string_view entry = environment.substr(0, environment.find('\0'));
    if (entry.starts_with(prefix)) return ProcessIdentity::parse(entry.substr(prefix.size()));
    environment.remove_prefix(std::min(environment.size(), entry.size() + 1));
  }
  return std::nullopt;
}

/// The owner in the name of a directory or cgroup: "tidewaiter-lab-1234-567890-Xy3dQ1".
std::optional<ProcessIdentity> owner_of_directory(std::string_view name) {
  if (!name.starts_with(kLeftoverPrefix)) return std::nullopt;
  const std::string_view rest = name.substr(kLeftoverPrefix.size());
  return ProcessIdentity::parse(rest.substr(0, rest.rfind('-')));
}

void end_orphan(pid_t pid, std::vector<std::string>& removed) {
  const base::FileDescriptor process = open_process(pid);
  if (!process.is_open()) return;
  // Looked at again now that the descriptor holds this very process.
  const fs::path folder = fmt::format("/proc/{}", pid);
  const auto owner = owner_in(read_all(folder / "environ"));
  if (!owner || owner->is_alive()) return;
  std::string name = read_all(folder / "comm");
  while (!name.empty() && name.back() == '\n') name.pop_back();
  if (signal_process(process, SIGKILL) == 0) {
    removed.push_back(fmt::format("process {} ({}) of an earlier lab run", pid, name));
  }
}

void remove_directories(const fs::path& root, std::vector<std::string>& removed) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root, error)) {
    const auto owner = owner_of_directory(entry.path().filename().string());
    struct stat status {};
    if (!owner || owner->is_alive() || lstat(entry.path().c_str(), &status) != 0) continue;
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid()) continue;
    std::error_code failed;
    fs::remove_all(entry.path(), failed);
    if (!failed) removed.push_back(fmt::format("directory {} of an earlier lab run", entry.path().string()));
  }
}

/// Their processes have ended, or are ending: a cgroup that is not empty yet stays for the next run.
void remove_cgroups(const fs::path& root, std::vector<std::string>& removed) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root, error)) {
    const auto owner = owner_of_directory(entry.path().filename().string());
    if (!owner || owner->is_alive() || rmdir(entry.path().c_str()) != 0) continue;
    removed.push_back(fmt::format("cgroup {} of an earlier lab run", entry.path().string()));
  }
}

}  // namespace

ProcessIdentity ProcessIdentity::own() { return of(getpid()).value_or(ProcessIdentity{getpid(), 0}); }

std::optional<ProcessIdentity> ProcessIdentity::of(pid_t pid) {
  const std::string stat = read_all(fmt::format("/proc/{}/stat", pid));
  const std::size_t after_name = stat.rfind(')');  // the name may contain anything
  if (after_name == std::string::npos || after_name + 2 >= stat.size()) return std::nullopt;
  std::string_view rest = std::string_view(stat).substr(after_name + 2);
  if (rest.front() == 'Z') return std::nullopt;  // ended, not yet waited for
  constexpr int kFieldsBeforeStart = 19;         // state is field 3, starttime 22: proc(5)
  for (int i = 0; i < kFieldsBeforeStart; ++i) rest.remove_prefix(std::min(rest.size(), rest.find(' ') + 1));
  const auto start = parse_number<std::uint64_t>(rest.substr(0, rest.find(' ')));
  if (!start) return std::nullopt;
  return ProcessIdentity{pid, *start};
}

std::string ProcessIdentity::to_string() const { return fmt::format("{}-{}", pid, start_ticks); }

std::optional<ProcessIdentity> ProcessIdentity::parse(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto pid = parse_number<pid_t>(text.substr(0, dash));
  const auto start = parse_number<std::uint64_t>(text.substr(dash + 1));
  if (!pid || !start || *pid <= 0) return std::nullopt;
  return ProcessIdentity{*pid, *start};
}

base::Result<TemporaryDirectory> TemporaryDirectory::create(const fs::path& root, Keep keep) {
  const std::string name = keep == Keep::kYes
                               ? std::string(kKeptPrefix) + "XXXXXX"
                               : fmt::format("{}{}-XXXXXX", kLeftoverPrefix, ProcessIdentity::own().to_string());
  std::string path = root / name;
  if (mkdtemp(path.data()) == nullptr)
    return base::fail_errno(errno, fmt::format("make a directory in {}", root.string()));
  return TemporaryDirectory(path, keep);
}

TemporaryDirectory::~TemporaryDirectory() {
  if (path_.empty() || keep_ == Keep::kYes) return;
  std::error_code ignored;  // what stays is a leftover, found by the next run
  fs::remove_all(path_, ignored);
}

std::vector<std::string> remove_leftovers(const fs::path& root) {
  std::vector<std::string> removed;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const auto pid = parse_number<pid_t>(entry.path().filename().string());
    if (!pid || *pid == getpid()) continue;
    const auto owner = owner_in(read_all(entry.path() / "environ"));
    if (owner && !owner->is_alive()) end_orphan(*pid, removed);
  }
  remove_directories(root, removed);
  if (const auto cgroups = cgroup_root()) remove_cgroups(*cgroups, removed);
  return removed;
}

}  // namespace tidewaiter::lab
