// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/database.h"
#include "store/roll_up.h"
#include "store/rows.h"

namespace tidewaiter::store {

/// Which subjects; an absent field takes all.
struct SubjectFilter {
  std::optional<std::string> scope, netns, src, dst;
  std::optional<int> dport;
};

/// Reads a journal, also while an agent writes it. Opening costs well under a millisecond, so every request may open
/// its own; one thread at a time uses it. No read transaction outlives a call.
class JournalReader {
 public:
  /// Errors: kNotPermitted when there is no file or it cannot be read; kInvalidArgument when its schema is newer;
  /// those of Database.
  [[nodiscard]] static base::Result<JournalReader> open(const std::string& path);

  /// The latest `limit` rows not older than `since_ns`, oldest first.
  [[nodiscard]] base::Result<std::vector<TransitionRow>> transitions(std::int64_t since_ns, std::size_t limit);
  [[nodiscard]] base::Result<std::vector<WindowRow>> windows(std::int64_t since_ns, const SubjectFilter& filter,
                                                             std::size_t limit);
  [[nodiscard]] base::Result<std::vector<RollUpRow>> roll_ups(RollUpPeriod period, std::int64_t since_ns,
                                                              const SubjectFilter& filter, std::size_t limit);

 private:
  Database database_;
};

}  // namespace tidewaiter::store
