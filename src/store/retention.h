// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/instant.h"
#include "base/settings.h"
#include "store/database.h"

namespace tidewaiter::store {

/// How long and how much is kept.
struct RetentionOptions {
  base::Nanoseconds windows = std::chrono::hours(2);
  base::Nanoseconds ten_seconds = std::chrono::hours(48);
  base::Nanoseconds minutes = std::chrono::hours(24 * 90);
  base::Nanoseconds transitions = std::chrono::hours(24 * 365);
  std::uint64_t max_mib = 512;  ///< of the file; beyond it the oldest windows go first, transitions last
};

[[nodiscard]] std::vector<base::Setting> settings_of(RetentionOptions& options);

/// Deletes from the old end, a few windows at a time but faster than they arrive, so that no append waits for a large
/// deletion. Oldest means lowest number: rows are looked at in the order of windows, not of the clock.
class Retention {
 public:
  /// Rows from these windows on are still needed by the roll-ups.
  struct Needed {
    std::optional<std::uint64_t> windows;
    std::optional<std::uint64_t> ten_seconds;
  };

  [[nodiscard]] static base::Result<Retention> open(Database& database, const RetentionOptions& options);

  /// One slice of the work, inside the caller's transaction.
  [[nodiscard]] base::Result<void> apply(Database& database, std::int64_t now_ns, const Needed& needed);

 private:
  struct Table {
    base::Nanoseconds keep{};
    Statement oldest;
    Statement remove;
  };
  static constexpr std::size_t kTables = 4;

  [[nodiscard]] base::Result<bool> remove_oldest(std::size_t table, std::int64_t before_ns, const Needed& needed);
  [[nodiscard]] base::Result<void> apply_age(std::int64_t now_ns, const Needed& needed);
  [[nodiscard]] base::Result<void> apply_size(Database& database, const Needed& needed);

  std::array<Table, kTables> tables_;
  std::int64_t max_bytes_ = 0;
  Statement pages_;
};

}  // namespace tidewaiter::store
