// SPDX-License-Identifier: Apache-2.0
#include "kernel/bypass.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <fmt/format.h>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace tidewaiter::kernel {
namespace {

constexpr std::uint64_t kBeginEntries = 16;  // stat and the namespace's link cost as much as so many mappings
constexpr base::Nanoseconds kFirstPause = base::Seconds(1);
constexpr int kPauseGrowth = 4;
constexpr std::uint64_t kListedAtOnce = 64;
constexpr std::uint64_t kDescriptorsAtOnce = 64;
constexpr std::size_t kPieceBytes = 16 << 10;

std::optional<std::int32_t> pid_of(std::string_view name) {
  std::int32_t pid = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (error != std::errc{} || end != name.data() + name.size() || pid <= 0) return std::nullopt;
  return pid;
}

/// Where a link leads; errno is set when it cannot be read.
std::optional<std::string> link_target(int directory, const char* name) {
  std::array<char, 512> target;  // NOLINT: filled by readlinkat; longer ones are cut
  const ssize_t length = readlinkat(directory, name, target.data(), target.size());
  if (length < 0) return std::nullopt;
  return std::string(target.data(), static_cast<std::size_t>(length));
}

/// The inode of "net:[4026531840]".
std::optional<std::uint64_t> namespace_inode_of(std::string_view link) {
  constexpr std::string_view kPrefix = "net:[";
  if (!link.starts_with(kPrefix)) return std::nullopt;
  std::uint64_t inode = 0;
  const auto [end, error] = std::from_chars(link.data() + kPrefix.size(), link.data() + link.size(), inode);
  if (error != std::errc{} || end == link.data() + link.size() || *end != ']') return std::nullopt;
  return inode;
}

std::optional<ProcessStat> read_stat(int directory) {
  const base::FileDescriptor file(openat(directory, "stat", O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return std::nullopt;
  std::array<char, 2048> text;  // NOLINT: filled by read
  const ssize_t length = read(file.get(), text.data(), text.size());
  if (length < 0) return std::nullopt;
  auto stat = parse_process_stat({text.data(), static_cast<std::size_t>(length)});
  if (stat) return std::move(*stat);
  errno = ESRCH;  // the kernel leaves it empty when the process has just ended
  return std::nullopt;
}

bool is_refusal(int error) { return error == EACCES || error == EPERM; }

}  // namespace

std::vector<base::Setting> settings_of(BypassOptions& options) {
  return {
      {"bypass.entries_per_look", "entries",
       "How much of /proc is read per window to find programs that bypass the kernel: processes listed, mappings and "
       "open descriptors. 0: none.",
       base::Setting::Whole{&options.entries_per_look, 0, 10'000'000}},
      {"bypass.list_every", "", "How often processes are listed, to find new ones.",
       base::Setting::Duration{&options.list_every, base::Milliseconds(100), base::Seconds(3'600)}},
      {"bypass.inspect_again", "", "How often a process that has been inspected several times is inspected again.",
       base::Setting::Duration{&options.inspect_again, base::Seconds(1), base::Seconds(86'400)}}};
}

BypassWatch::BypassWatch(std::uint64_t namespace_inode, const BypassOptions& options, std::string proc)
    : namespace_inode_(namespace_inode), options_(options), proc_(std::move(proc)) {}

telemetry::BypassReport BypassWatch::look(base::Instant now) {
  for (std::uint64_t entries = 0; entries < options_.entries_per_look;) {
    const std::uint64_t cost = step(now);
    if (cost == 0) break;
    entries += cost;
  }
  return report();
}

std::uint64_t BypassWatch::step(base::Instant now) {
  if (current_) return current_->maps.is_open() ? read_maps(now) : read_descriptors(now);
  if (listing_ != nullptr) return list_some(now);
  if (!listed_ || now - *listed_ >= options_.list_every) {
    ++round_;
    listing_.reset(opendir(proc_.c_str()));
    return listing_ == nullptr ? 0 : 1;
  }
  if (queue_.empty()) return 0;
  const std::int32_t pid = queue_.front();
  queue_.pop_front();
  return begin(pid, now);
}

std::uint64_t BypassWatch::list_some(base::Instant now) {
  for (std::uint64_t count = 0; count < kListedAtOnce; ++count) {
    const dirent* const entry = readdir(listing_.get());
    if (entry == nullptr) {
      end_listing(now);
      return count + 1;
    }
    if (const auto pid = pid_of(entry->d_name)) note_listed(*pid, now);
  }
  return kListedAtOnce;
}

void BypassWatch::note_listed(std::int32_t pid, base::Instant now) {
  const auto [entry, is_new] = processes_.try_emplace(pid);
  Process& process = entry->second;
  process.round = round_;
  if (is_new) {
    queue_.push_front(pid);  // nobody has looked at it yet
  } else if (!process.is_queued && process.due <= now) {
    process.is_queued = true;
    queue_.push_back(pid);
  }
}

void BypassWatch::end_listing(base::Instant now) {
  listing_.reset();
  listed_ = now;
  has_listed_ = true;
  const auto first = processes_.find(1);  // every pid namespace has one
  are_others_hidden_ = first == processes_.end() || first->second.round != round_;
  std::erase_if(processes_, [&](const auto& entry) { return entry.second.round != round_; });
  std::erase_if(queue_, [&](std::int32_t pid) { return !processes_.contains(pid); });
}

std::uint64_t BypassWatch::begin(std::int32_t pid, base::Instant now) {
  Inspection& inspection = current_.emplace(Inspection{});
  inspection.pid = pid;
  const std::string path = fmt::format("{}/{}", proc_, pid);
  inspection.directory = base::FileDescriptor(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!inspection.directory.is_open()) return fail(errno, now);
  const int directory = inspection.directory.get();
  auto stat = read_stat(directory);
  if (!stat) return fail(errno, now);
  inspection.stat = std::move(*stat);
  if (inspection.stat.is_kernel_thread || inspection.stat.is_zombie) {
    settle(Standing::kElsewhere, now);
    return kBeginEntries;
  }
  const auto link = link_target(directory, "ns/net");
  if (!link) return fail(errno, now);
  if (namespace_inode_of(*link) != namespace_inode_) {
    settle(Standing::kElsewhere, now);
    return kBeginEntries;
  }
  inspection.maps = base::FileDescriptor(openat(directory, "maps", O_RDONLY | O_CLOEXEC));
  if (!inspection.maps.is_open()) return fail(errno, now);
  return kBeginEntries;
}

std::uint64_t BypassWatch::read_maps(base::Instant now) {
  std::array<char, kPieceBytes> piece;  // NOLINT: filled by read
  const ssize_t length = read(current_->maps.get(), piece.data(), piece.size());
  if (length < 0) return errno == EINTR ? 1 : fail(errno, now);
  if (length > 0) {
    return 1 + current_->reader.feed({piece.data(), static_cast<std::size_t>(length)}, current_->signs);
  }
  current_->reader.finish(current_->signs);
  current_->maps.reset();
  open_descriptors();
  if (current_->descriptors == nullptr) settle(Standing::kInspected, now);
  return 1;
}

void BypassWatch::open_descriptors() {
  base::FileDescriptor directory(
      openat(current_->directory.get(), "fd", O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC));
  if (!directory.is_open()) {
    current_->has_unread_descriptors = is_refusal(errno);
    return;
  }
  current_->descriptors.reset(fdopendir(directory.get()));
  if (current_->descriptors != nullptr) static_cast<void>(directory.release());
}

std::uint64_t BypassWatch::read_descriptors(base::Instant now) {
  DIR* const directory = current_->descriptors.get();
  for (std::uint64_t count = 0; count < kDescriptorsAtOnce; ++count) {
    const dirent* const entry = readdir(directory);
    if (entry == nullptr) {
      settle(Standing::kInspected, now);
      return count + 1;
    }
    if (entry->d_name[0] == '.') continue;
    const auto target = link_target(dirfd(directory), entry->d_name);
    if (!target) {
      current_->has_unread_descriptors |= is_refusal(errno);
    } else if (auto sign = sign_of_descriptor(*target)) {
      add_sign(std::move(*sign), current_->signs);
    }
  }
  return kDescriptorsAtOnce;
}

std::uint64_t BypassWatch::fail(int error, base::Instant now) {
  if (is_refusal(error)) {
    settle(Standing::kNotPermitted, now);
  } else if (error == ENOENT || error == ESRCH) {
    settle(Standing::kElsewhere, now);
  } else {
    // Descriptors or memory are short: its turn comes again, in a later look.
    queue_.push_back(current_->pid);
    current_.reset();
    return options_.entries_per_look;
  }
  return kBeginEntries;
}

void BypassWatch::settle(Standing standing, base::Instant now) {
  Inspection inspection = std::move(*current_);
  current_.reset();
  const auto found = processes_.find(inspection.pid);
  if (found == processes_.end()) return;  // it has ended meanwhile
  Process& process = found->second;
  const bool is_same = process.standing != Standing::kPending && process.start_time == inspection.stat.start_time;
  process.pause = is_same ? std::min(options_.inspect_again, process.pause * kPauseGrowth) : kFirstPause;
  process.due = now + process.pause;
  process.is_queued = false;
  process.standing = standing;
  process.start_time = inspection.stat.start_time;
  process.comm = std::move(inspection.stat.comm);
  process.has_unread_descriptors = inspection.has_unread_descriptors;
  process.signs = std::move(inspection.signs);
}

telemetry::BypassReport BypassWatch::report() const {
  telemetry::BypassReport report;
  report.has_listed = has_listed_;
  report.are_others_hidden = are_others_hidden_;
  for (const auto& [pid, process] : processes_) {
    report.pending += process.standing == Standing::kPending ? 1 : 0;
    report.not_permitted += process.standing == Standing::kNotPermitted ? 1 : 0;
    if (process.standing != Standing::kInspected) continue;
    ++report.inspected;
    report.descriptors_unread += process.has_unread_descriptors ? 1 : 0;
    for (const BypassSign& sign : process.signs) {
      report.processes.push_back({pid, process.comm, sign.kind, sign.evidence});
    }
  }
  return report;
}

}  // namespace tidewaiter::kernel
