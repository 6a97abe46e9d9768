// SPDX-License-Identifier: Apache-2.0
#include "store/journal_file.h"

#include <cerrno>
#include <fmt/format.h>
#include <sys/stat.h>

namespace tidewaiter::store {
namespace {

constexpr int kBusyMs = 100;
constexpr std::int64_t kLargestCheckedBytes = std::int64_t{64} << 20;

// A commit goes to the write-ahead log without fsync: a killed process loses nothing, a power cut the last seconds.
constexpr const char* kPragmas =
    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
    "PRAGMA journal_size_limit = 8388608; PRAGMA temp_store = MEMORY;";

template <class Row, class ForEach>
std::string insert_into(const std::string& table, const ForEach& for_each) {
  std::string columns;
  std::string places;
  Row row;
  for_each(row, [&](const char* column, const auto&) {
    columns += (columns.empty() ? "" : ", ") + std::string(column);
    places += places.empty() ? "?" : ", ?";
  });
  return fmt::format("INSERT INTO {} ({}) VALUES ({})", table, columns, places);
}

base::Result<void> check_integrity(Database& database) {
  const auto said = database.text("PRAGMA quick_check(1)");
  if (!said) return tl::unexpected(said.error());
  if (*said == "ok") return {};
  return base::fail(base::ErrorCode::kMalformed, *said);
}

}  // namespace

base::Result<JournalFile> JournalFile::open(const std::string& path, const Options& options, base::WallTime now) {
  JournalFile file;
  file.path_ = path;
  auto database = Database::open(path, Access::kReadWrite, kBusyMs);
  if (!database) return tl::unexpected(database.error());
  file.database_ = std::move(*database);
  if (auto prepared = file.prepare(options, now); !prepared) return base::wrap(prepared.error(), path);
  return file;
}

base::Result<void> JournalFile::prepare(const Options& options, base::WallTime now) {
  if (auto done = database_.run(kPragmas); !done) return done;
  if (auto done = migrate(database_, options.writer, now.time_since_epoch().count()); !done) return done;
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) return base::fail_errno(errno, "stat");
  device_ = status.st_dev;
  inode_ = status.st_ino;

  const auto clean = database_.whole("SELECT closed_cleanly FROM meta");
  if (!clean) return tl::unexpected(clean.error());
  if (clean->value_or(0) == 0 && options.check == Check::kAfterUncleanClose && status.st_size < kLargestCheckedBytes) {
    if (auto done = check_integrity(database_); !done) return done;
  }
  if (auto done = database_.run("UPDATE meta SET closed_cleanly = 0"); !done) return done;

  const auto last = database_.whole(
      "SELECT max(ifnull((SELECT max(window) FROM window), 0), rolled_10s, "
      "ifnull((SELECT max(window) FROM transition), 0)) FROM meta");
  if (!last) return tl::unexpected(last.error());
  last_window_ = static_cast<std::uint64_t>(last->value_or(0));

  const auto keep = [](auto& member, auto result) -> base::Result<void> {
    if (!result) return tl::unexpected(result.error());
    member = std::move(*result);
    return {};
  };
  const auto window_fields = [](auto& row, const auto& visit) { for_each_window_field(row, visit); };
  const auto transition_fields = [](auto& row, const auto& visit) { for_each_transition_field(row, visit); };
  if (auto done = keep(insert_window_, database_.prepare(insert_into<WindowRow>("window", window_fields))); !done) {
    return done;
  }
  if (auto done =
          keep(insert_transition_, database_.prepare(insert_into<TransitionRow>("transition", transition_fields)));
      !done) {
    return done;
  }
  if (auto done = keep(ten_seconds_, RollUp::open(database_, RollUpPeriod::kTenSeconds)); !done) return done;
  if (auto done = keep(minutes_, RollUp::open(database_, RollUpPeriod::kMinute)); !done) return done;
  return keep(retention_, Retention::open(database_, options.retention));
}

JournalFile::~JournalFile() {
  // Fails where the disk does, or when moved from; then the next opening looks closer.
  if (inode_ != 0 && database_.is_open()) (void)database_.run("UPDATE meta SET closed_cleanly = 1");
}

bool JournalFile::is_in_place() const {
  struct stat status {};
  return ::stat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
}

base::Result<void> JournalFile::append(const Batch& batch, base::WallTime now) {
  auto transaction = Transaction::begin(database_);
  if (!transaction) return tl::unexpected(transaction.error());
  if (auto done = write(batch, now); !done) return done;
  if (auto done = transaction->commit(); !done) return done;
  if (!batch.windows.empty()) last_window_ = batch.windows.front().window;
  return {};
}

base::Result<void> JournalFile::write(const Batch& batch, base::WallTime now) {
  if (!batch.windows.empty()) {
    const WindowRow& first = batch.windows.front();
    for (RollUp* roll_up : {&ten_seconds_, &minutes_}) {
      if (auto done = roll_up->advance(first.window, first.at_ns); !done) return done;
    }
  }
  for (const WindowRow& row : batch.windows) {
    int parameter = 0;
    for_each_window_field(row, [&](const char*, const auto& field) { insert_window_.bind(++parameter, field); });
    if (auto done = insert_window_.finish(); !done) return done;
  }
  for (const TransitionRow& row : batch.transitions) {
    int parameter = 0;
    for_each_transition_field(row,
                              [&](const char*, const auto& field) { insert_transition_.bind(++parameter, field); });
    if (auto done = insert_transition_.finish(); !done) return done;
  }
  return retention_.apply(database_, now.time_since_epoch().count(),
                          {ten_seconds_.first_needed(), minutes_.first_needed()});
}

}  // namespace tidewaiter::store
