// SPDX-License-Identifier: Apache-2.0
#include "store/journal.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>
#include <utility>

namespace tidewaiter::store {
namespace {

base::Result<void> check_directory(const std::string& path) {
  std::string directory = std::filesystem::path(path).parent_path().string();
  if (directory.empty()) directory = ".";
  if (::faccessat(AT_FDCWD, directory.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return {};
  const int reason = errno;
  auto error = base::fail_errno(reason, "the journal's directory " + directory).value();
  if (reason == EROFS) error.code = base::ErrorCode::kNotPermitted;
  error.hint = reason == ENOENT ? "make the directory, or name another with --state-dir"
                                : "let this user write there, or name another directory with --state-dir";
  return tl::unexpected(error);
}

base::Result<void> check_batch(const Batch& batch, std::uint64_t last_window) {
  if (batch.windows.empty()) return {};
  const WindowRow& first = batch.windows.front();
  const bool agree = std::all_of(batch.windows.begin(), batch.windows.end(), [&](const WindowRow& row) {
    return row.window == first.window && row.at_ns == first.at_ns;
  });
  if (!agree) return base::fail(base::ErrorCode::kInvalidArgument, "rows of different windows in one append");
  if (first.window > last_window) return {};
  return base::fail(base::ErrorCode::kInvalidArgument,
                    fmt::format("window {} comes after window {}", first.window, last_window));
}

}  // namespace

base::Result<Journal> Journal::open(std::string path, JournalOptions options, base::Moment now) {
  if (auto allowed = check_directory(path); !allowed) return tl::unexpected(allowed.error());
  Journal journal(std::move(path), std::move(options));
  auto opened = journal.open_file(now.wall, JournalFile::Check::kAfterUncleanClose);
  if (!opened) {
    base::Error error = opened.error();
    if (error.code == base::ErrorCode::kNotPermitted && error.hint.empty()) {
      error.hint = "let this user write the file, or name another directory with --state-dir";
    }
    return base::wrap(std::move(error), "cannot open the journal");
  }
  return journal;
}

base::Result<void> Journal::open_file(base::WallTime now, JournalFile::Check check) {
  const JournalFile::Options options{options_.writer, options_.retention, check};
  auto opened = JournalFile::open(path_, options, now);
  if (!opened && opened.error().code == base::ErrorCode::kMalformed) {
    notes_.push_back("the journal is damaged (" + opened.error().message() + ")");
    if (auto moved = move_aside(now); !moved) return moved;
    opened = JournalFile::open(path_, options, now);
  }
  if (!opened) return tl::unexpected(opened.error());
  file_.emplace(std::move(*opened));
  last_window_ = std::max(last_window_, file_->last_window());
  return {};
}

base::Result<void> Journal::move_aside(base::WallTime now) {
  auto seconds = std::chrono::floor<base::Seconds>(now).time_since_epoch().count();
  std::string target;
  do {
    target = fmt::format("{}.corrupt-{}", path_, seconds++);
  } while (std::filesystem::exists(std::filesystem::symlink_status(target)));
  if (::rename(path_.c_str(), target.c_str()) != 0) return base::fail_errno(errno, "move it to " + target);
  for (const char* companion : {"-wal", "-shm"}) {
    // Either may be missing; left behind, they would be taken for the new file's.
    if (::rename((path_ + companion).c_str(), (target + companion).c_str()) != 0 && errno != ENOENT) {
      return base::fail_errno(errno, "move " + path_ + companion);
    }
  }
  notes_.push_back("the damaged journal is kept as " + target + ", a new one is begun");
  return {};
}

base::Result<void> Journal::append(const Batch& batch, base::Moment now) {
  if (auto right = check_batch(batch, last_window_); !right) return right;
  if (!batch.windows.empty()) last_window_ = batch.windows.front().window;
  if (file_ && !file_->is_in_place()) {
    notes_.push_back("the journal " + path_ + " was removed; a new one is begun");
    file_.reset();
    retry_at_ = now.steady;
  }
  const bool was_suspended = !file_ && !why_suspended_.context.empty();
  if (!file_) {
    if (now.steady < retry_at_) return lose(batch, why_suspended_, now.steady);
    if (auto opened = open_file(now.wall, JournalFile::Check::kNever); !opened) {
      return lose(batch, opened.error(), now.steady);
    }
  }
  if (auto written = write(batch, now.wall); !written) return lose(batch, written.error(), now.steady);
  if (was_suspended) {
    notes_.push_back(
        fmt::format("the journal is written again; {} rows were lost", lost_rows_ - lost_before_suspension_));
    why_suspended_ = {};
  }
  return {};
}

base::Result<void> Journal::write(const Batch& batch, base::WallTime now) {
  auto written = file_->append(batch, now);
  if (written || written.error().code != base::ErrorCode::kMalformed) return written;
  notes_.push_back("the journal is damaged (" + written.error().message() + ")");
  file_.reset();
  if (auto moved = move_aside(now); !moved) return moved;
  if (auto opened = open_file(now, JournalFile::Check::kNever); !opened) return opened;
  return file_->append(batch, now);
}

base::Result<void> Journal::lose(const Batch& batch, base::Error error, base::Instant now) {
  if (why_suspended_.context.empty()) {
    lost_before_suspension_ = lost_rows_;
    notes_.push_back("the journal is suspended: " + error.message());
  }
  if (file_ || now >= retry_at_) retry_at_ = now + kRetryAfter;
  file_.reset();
  why_suspended_ = std::move(error);
  lost_rows_ += batch.rows();
  return tl::unexpected(why_suspended_);
}

std::vector<std::string> Journal::take_notes() { return std::exchange(notes_, {}); }

}  // namespace tidewaiter::store
