// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/instant.h"
#include "store/database.h"
#include "store/retention.h"
#include "store/roll_up.h"
#include "store/rows.h"
#include "store/schema.h"

namespace tidewaiter::store {

/// What is appended at once: the rows of one window (or none), and the transitions since the last append.
struct Batch {
  std::span<const WindowRow> windows;
  std::span<const TransitionRow> transitions;

  [[nodiscard]] std::size_t rows() const { return windows.size() + transitions.size(); }
};

/// The journal's file while all is well. After any failure it has to be opened anew: what is in memory may be ahead of
/// what was rolled back. What to do then is Journal's business.
class JournalFile {
 public:
  enum class Check : std::uint8_t { kAfterUncleanClose, kNever };
  struct Options {
    Writer writer;
    RetentionOptions retention;
    Check check = Check::kAfterUncleanClose;
  };

  [[nodiscard]] static base::Result<JournalFile> open(const std::string& path, const Options& options,
                                                      base::WallTime now);
  JournalFile(JournalFile&&) = default;
  JournalFile& operator=(JournalFile&&) = default;
  ~JournalFile();

  /// One transaction. Errors: those of Database.
  [[nodiscard]] base::Result<void> append(const Batch& batch, base::WallTime now);

  /// The greatest window number in the file; 0 when it is new.
  [[nodiscard]] std::uint64_t last_window() const { return last_window_; }

  /// False once the path leads to no or another file.
  [[nodiscard]] bool is_in_place() const;

 private:
  JournalFile() = default;
  [[nodiscard]] base::Result<void> prepare(const Options& options, base::WallTime now);
  [[nodiscard]] base::Result<void> write(const Batch& batch, base::WallTime now);

  std::string path_;
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
  std::uint64_t last_window_ = 0;
  Database database_;  // outlives the statements below
  Statement insert_window_;
  Statement insert_transition_;
  RollUp ten_seconds_;
  RollUp minutes_;
  Retention retention_;
};

}  // namespace tidewaiter::store
