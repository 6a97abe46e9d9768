// SPDX-License-Identifier: Apache-2.0
#include "store/retention.h"

#include <fmt/format.h>
#include <limits>

namespace tidewaiter::store {
namespace {

struct TableName {
  const char* table;
  const char* key;
};

// In the order in which the size takes them.
constexpr std::array<TableName, 4> kNames{
    {{"window", "window"}, {"window_10s", "window"}, {"window_60s", "window"}, {"transition", "id"}}};

constexpr int kSliceOfAge = 4;   // windows a table and append: arrivals are one
constexpr int kSliceOfSize = 8;  // windows an append
constexpr std::int64_t kPagesToGiveBack = 64;
constexpr std::int64_t kFreePagesKept = 256;

}  // namespace

std::vector<base::Setting> settings_of(RetentionOptions& options) {
  using base::Setting;
  using std::chrono::hours;
  const base::Nanoseconds least = std::chrono::minutes(2);
  const base::Nanoseconds most = hours(24 * 3650);
  return {{"journal.keep_windows", "", "How long every window is kept in the journal.",
           Setting::Duration{&options.windows, least, most}},
          {"journal.keep_10s", "", "How long the roll-ups of 10 s are kept.",
           Setting::Duration{&options.ten_seconds, least, most}},
          {"journal.keep_60s", "", "How long the roll-ups of 60 s are kept.",
           Setting::Duration{&options.minutes, least, most}},
          {"journal.keep_transitions", "", "How long changes of state are kept.",
           Setting::Duration{&options.transitions, least, most}},
          {"journal.max_mib", "MiB", "Size of the journal's file, beyond which the oldest windows are dropped.",
           Setting::Whole{&options.max_mib, 8, 1'048'576}}};
}

base::Result<Retention> Retention::open(Database& database, const RetentionOptions& options) {
  Retention retention;
  const std::array<base::Nanoseconds, kTables> keep{options.windows, options.ten_seconds, options.minutes,
                                                    options.transitions};
  for (std::size_t i = 0; i < kTables; ++i) {
    const auto& [table, key] = kNames.at(i);
    auto oldest = database.prepare(fmt::format("SELECT {1}, at_ns FROM {0} ORDER BY {1} LIMIT 1", table, key));
    if (!oldest) return tl::unexpected(oldest.error());
    auto remove = database.prepare(fmt::format("DELETE FROM {} WHERE {} = ?1", table, key));
    if (!remove) return tl::unexpected(remove.error());
    retention.tables_.at(i) = Table{keep.at(i), std::move(*oldest), std::move(*remove)};
  }
  auto pages = database.prepare(
      "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size");
  if (!pages) return tl::unexpected(pages.error());
  retention.pages_ = std::move(*pages);
  retention.max_bytes_ = static_cast<std::int64_t>(options.max_mib << 20U);
  return retention;
}

base::Result<void> Retention::apply(Database& database, std::int64_t now_ns, const Needed& needed) {
  if (auto done = apply_age(now_ns, needed); !done) return done;
  return apply_size(database, needed);
}

base::Result<void> Retention::apply_age(std::int64_t now_ns, const Needed& needed) {
  for (std::size_t table = 0; table < kTables; ++table) {
    for (int i = 0; i < kSliceOfAge; ++i) {
      const auto removed = remove_oldest(table, now_ns - tables_.at(table).keep.count(), needed);
      if (!removed) return tl::unexpected(removed.error());
      if (!*removed) break;
    }
  }
  return {};
}

base::Result<bool> Retention::remove_oldest(std::size_t index, std::int64_t before_ns, const Needed& needed) {
  Table& table = tables_.at(index);
  auto found = table.oldest.step();
  if (!found || !*found) return found;
  std::uint64_t key = 0;
  std::int64_t at_ns = 0;
  table.oldest.read(0, key);
  table.oldest.read(1, at_ns);
  table.oldest.reset();
  const auto& guard = index == 0 ? needed.windows : needed.ten_seconds;
  if (at_ns >= before_ns || (index < 2 && guard && key >= *guard)) return false;
  table.remove.bind(1, key);
  if (auto done = table.remove.finish(); !done) return tl::unexpected(done.error());
  return true;
}

base::Result<void> Retention::apply_size(Database& database, const Needed& needed) {
  if (auto row = pages_.step(); !row) return tl::unexpected(row.error());
  std::int64_t count = 0;
  std::int64_t unused = 0;
  std::int64_t page_size = 0;
  pages_.read(0, count);
  pages_.read(1, unused);
  pages_.read(2, page_size);
  pages_.reset();

  const std::int64_t enough = max_bytes_ - max_bytes_ / 16;  // the rest is room for what arrives meanwhile
  int removals = (count - unused) * page_size > enough ? kSliceOfSize : 0;
  for (std::size_t table = 0; table < kTables && removals > 0; ++table) {
    while (removals > 0) {
      const auto removed = remove_oldest(table, std::numeric_limits<std::int64_t>::max(), needed);
      if (!removed) return tl::unexpected(removed.error());
      if (!*removed) break;
      --removals;
    }
  }
  const bool is_too_large = count * page_size > max_bytes_;
  if (unused < kFreePagesKept && !is_too_large) return {};
  if (unused < count / 8 && !is_too_large) return {};
  return database.run(fmt::format("PRAGMA incremental_vacuum({})", kPagesToGiveBack));
}

}  // namespace tidewaiter::store
