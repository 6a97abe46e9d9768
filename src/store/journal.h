// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "store/journal_file.h"

namespace tidewaiter::store {

struct JournalOptions {
  Writer writer;
  RetentionOptions retention;
};

/// The record of what was seen and decided, in one SQLite file. One thread at a time uses it; readers open a
/// JournalReader of their own, meanwhile too.
///
/// It never stops its owner: when the disk is full or fails, it suspends itself, counts what is lost, and tries again
/// every 30 s. A damaged file is moved aside and a new one begun.
class Journal {
 public:
  static constexpr base::Nanoseconds kRetryAfter = base::Seconds(30);

  /// The directory must exist. Errors: kNotPermitted when it cannot be written; kNotFound when it is not there;
  /// kInvalidArgument for a newer schema or a file that is no journal; kUnavailable when the disk is full or fails.
  [[nodiscard]] static base::Result<Journal> open(std::string path, JournalOptions options, base::Moment now);

  /// The rows of one window, its transitions and a slice of upkeep, in one transaction.
  /// Errors: kInvalidArgument when the rows do not share one window and time, or the window is not greater than the
  /// last (nothing is counted as lost then); otherwise why the rows are lost, as long as the journal is suspended.
  [[nodiscard]] base::Result<void> append(const Batch& batch, base::Moment now);

  /// The number for the next window: goes on where the file ended.
  [[nodiscard]] std::uint64_t next_window() const { return last_window_ + 1; }

  [[nodiscard]] bool is_suspended() const { return !file_; }

  /// Rows that could not be written since the journal was opened.
  [[nodiscard]] std::uint64_t lost_rows() const { return lost_rows_; }

  /// What an operator should read once: a damaged file moved aside, a suspension, its end. Emptied by the call.
  [[nodiscard]] std::vector<std::string> take_notes();

 private:
  Journal(std::string path, JournalOptions options) : path_(std::move(path)), options_(std::move(options)) {}

  [[nodiscard]] base::Result<void> open_file(base::WallTime now, JournalFile::Check check);
  [[nodiscard]] base::Result<void> write(const Batch& batch, base::WallTime now);
  [[nodiscard]] base::Result<void> move_aside(base::WallTime now);
  [[nodiscard]] base::Result<void> lose(const Batch& batch, base::Error error, base::Instant now);

  std::string path_;
  JournalOptions options_;
  std::optional<JournalFile> file_;  ///< absent while suspended
  base::Error why_suspended_;
  base::Instant retry_at_{};
  std::uint64_t last_window_ = 0;
  std::uint64_t lost_rows_ = 0;
  std::uint64_t lost_before_suspension_ = 0;
  std::vector<std::string> notes_;
};

}  // namespace tidewaiter::store
