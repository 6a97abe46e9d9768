// SPDX-License-Identifier: Apache-2.0
#include "store/journal.h"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "store/journal_reader.h"

namespace tidewaiter::store {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kStart = 1'700'000'000 * kSecond;

base::Moment at_second(std::int64_t second) {
  return {base::Instant(base::Seconds(1000 + second)), base::WallTime(base::Nanoseconds(kStart + second * kSecond))};
}

Subject tuple(int number) { return {"tuple", "self", "10.0.0.1", "10.0.0." + std::to_string(number), 9000}; }

/// A host row and `tuples` rows of tuples for second `second` since the start.
std::vector<WindowRow> rows_of(std::uint64_t window, std::int64_t second, int tuples) {
  std::vector<WindowRow> rows(static_cast<std::size_t>(tuples) + 1);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].window = window;
    rows[i].at_ns = kStart + second * kSecond;
    if (i > 0) rows[i].subject = tuple(static_cast<int>(i));
    rows[i].state = rows[i].enforced_state = "GREEN";
    rows[i].ppr = 0.25;
    rows[i].parameters = R"({"clip_scale":1.0})";
    rows[i].reasons = "[]";
  }
  return rows;
}

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tidewaiter-journal-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    path_ = directory_ / "journal.sqlite3";
  }
  void TearDown() override { fs::remove_all(directory_); }

  [[nodiscard]] base::Result<Journal> open(std::int64_t second = 0, RetentionOptions retention = {}) const {
    return Journal::open(path_, {{"one", "boot", 7}, retention}, at_second(second));
  }

  static base::Result<void> append(Journal& journal, std::int64_t second, int tuples = 2) {
    const auto rows = rows_of(journal.next_window(), second, tuples);
    return journal.append({rows, {}}, at_second(second));
  }

  [[nodiscard]] std::vector<WindowRow> all_windows() const {
    auto reader = JournalReader::open(path_);
    EXPECT_TRUE(reader) << reader.error().message();
    return reader->windows(0, {}, 1'000'000).value();
  }

  std::int64_t ask(const std::string& sql) const {
    auto database = Database::open(path_, Access::kReadWrite, 1000);
    return database->whole(sql)->value_or(-1);
  }

  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  fs::path directory_;
  fs::path path_;
};

TEST_F(JournalTest, gives_back_what_was_appended) {
  auto journal = open();
  ASSERT_TRUE(journal) << journal.error().message();
  EXPECT_EQ(journal->next_window(), 1U);
  auto rows = rows_of(1, 0, 1);
  rows[1].p_stress = 0.5;
  rows[1].attempts = 0;
  rows[1].stale = true;
  rows[1].severity = 3;
  rows[1].model = "prior/1";
  rows[1].established = 7;
  rows[1].port_search_p95_us = 6.4;
  TransitionRow transition{kStart, 1, tuple(1), "GREEN", "RED", "guard", "enforce", "shadow", true, R"([{"a":1}])"};
  ASSERT_TRUE(journal->append({rows, {&transition, 1}}, at_second(0)));
  EXPECT_EQ(journal->next_window(), 2U);

  auto reader = JournalReader::open(path_);
  ASSERT_TRUE(reader) << reader.error().message();
  const auto windows = reader->windows(0, {}, 10).value();
  ASSERT_EQ(windows.size(), 2U);
  EXPECT_EQ(windows[0].subject, Subject{});
  EXPECT_EQ(windows[1].subject, tuple(1));
  EXPECT_EQ(windows[1].p_stress, 0.5);
  EXPECT_EQ(windows[1].attempts, 0.0);
  EXPECT_EQ(windows[1].cfr, std::nullopt);
  EXPECT_TRUE(windows[1].stale);
  EXPECT_FALSE(windows[0].stale);
  EXPECT_EQ(windows[1].severity, 3);
  EXPECT_EQ(windows[1].model, "prior/1");
  EXPECT_EQ(windows[1].established, 7.0);
  EXPECT_EQ(windows[1].port_search_p95_us, 6.4);
  EXPECT_EQ(windows[1].timeouts, std::nullopt);
  EXPECT_EQ(windows[1].parameters, R"({"clip_scale":1.0})");
  const auto transitions = reader->transitions(0, 10).value();
  ASSERT_EQ(transitions.size(), 1U);
  EXPECT_EQ(transitions[0].from, "GREEN");
  EXPECT_EQ(transitions[0].to, "RED");
  EXPECT_EQ(transitions[0].trigger, "guard");
  EXPECT_EQ(transitions[0].mode_order, "shadow");
  EXPECT_TRUE(transitions[0].enforced);
  EXPECT_EQ(transitions[0].reasons, R"([{"a":1}])");
}

TEST_F(JournalTest, notes_who_writes_it) {
  { ASSERT_TRUE(open()); }
  EXPECT_EQ(ask("SELECT count(*) FROM meta WHERE schema_version = 2 AND instance = 'one' AND boot_id = 'boot' AND "
                "boot_offset_ns = 7 AND created_ns = " +
                std::to_string(kStart)),
            1);
}

TEST_F(JournalTest, numbers_go_on_after_a_restart_and_when_the_clock_steps_back) {
  {
    auto journal = open();
    ASSERT_TRUE(append(*journal, 0));
    ASSERT_TRUE(append(*journal, 1));
  }
  auto journal = open(-100);
  ASSERT_TRUE(journal);
  EXPECT_EQ(journal->next_window(), 3U);
  ASSERT_TRUE(append(*journal, -100));
  const auto windows = all_windows();
  ASSERT_EQ(windows.size(), 9U);
  EXPECT_EQ(windows.back().window, 3U);
  EXPECT_EQ(windows.back().at_ns, kStart - 100 * kSecond);
}

TEST_F(JournalTest, refuses_windows_out_of_order_or_mixed_and_loses_nothing) {
  auto journal = open();
  ASSERT_TRUE(append(*journal, 0));
  auto again = rows_of(1, 1, 1);
  auto mixed = rows_of(2, 1, 1);
  mixed[1].window = 3;
  for (const auto& rows : {again, mixed}) {
    const auto appended = journal->append({rows, {}}, at_second(1));
    ASSERT_FALSE(appended);
    EXPECT_EQ(appended.error().code, base::ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(journal->lost_rows(), 0U);
  EXPECT_TRUE(append(*journal, 1));
}

TEST_F(JournalTest, transitions_may_come_without_windows) {
  auto journal = open();
  const TransitionRow transition{kStart, 1, {}, "GREEN", "RED", "guard", "", "", false, "[]"};
  ASSERT_TRUE(journal->append({{}, {&transition, 1}}, at_second(0)));
  ASSERT_TRUE(journal->append({{}, {&transition, 1}}, at_second(0)));
  EXPECT_EQ(JournalReader::open(path_)->transitions(0, 10)->size(), 2U);
}

TEST_F(JournalTest, refuses_a_newer_schema_and_names_both) {
  { ASSERT_TRUE(open()); }
  ask("UPDATE meta SET schema_version = 99 RETURNING 1");
  const auto journal = open();
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, base::ErrorCode::kInvalidArgument);
  EXPECT_THAT(journal.error().message(), HasSubstr("schema 99"));
  EXPECT_THAT(journal.error().message(), HasSubstr("up to 2"));
  const auto reader = JournalReader::open(path_);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, base::ErrorCode::kInvalidArgument);
}

TEST_F(JournalTest, refuses_a_database_that_is_no_journal_and_leaves_it_alone) {
  ask("CREATE TABLE mine(x)");
  const auto journal = open();
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, base::ErrorCode::kInvalidArgument);
  EXPECT_THAT(journal.error().message(), HasSubstr("no journal"));
  EXPECT_EQ(ask("SELECT count(*) FROM sqlite_schema"), 1);
}

TEST_F(JournalTest, reads_and_goes_on_writing_the_golden_file_of_schema_1) {
  const fs::path golden = fs::path(TIDEWAITER_SOURCE_DIR) / "tests/golden/journal/schema-1.sqlite3";
  fs::copy_file(golden, path_);
  auto journal = open(100);
  ASSERT_TRUE(journal) << journal.error().message();
  EXPECT_EQ(journal->next_window(), 26U);
  ASSERT_TRUE(append(*journal, 100));
  auto reader = JournalReader::open(path_);
  const auto windows = reader->windows(0, {}, 1000).value();
  ASSERT_EQ(windows.size(), 25U * 2 + 3);
  EXPECT_EQ(windows[1].subject, tuple(1));
  EXPECT_EQ(windows[1].ppr, 0.25);
  EXPECT_EQ(windows[1].p_stress, std::nullopt);
  EXPECT_EQ(windows[1].established, std::nullopt) << "was not known then";
  EXPECT_EQ(windows[1].reasons, "[]");
  EXPECT_EQ(reader->transitions(0, 10)->size(), 1U);
  EXPECT_EQ(reader->roll_ups(RollUpPeriod::kTenSeconds, 0, {}, 100)->size(), 6U);
  EXPECT_EQ(reader->roll_ups(RollUpPeriod::kMinute, 0, {}, 100)->size(), 2U);
  EXPECT_EQ(ask("SELECT schema_version FROM meta"), current_schema());
}

TEST_F(JournalTest, reads_and_goes_on_writing_the_golden_file_of_schema_2) {
  fs::copy_file(fs::path(TIDEWAITER_SOURCE_DIR) / "tests/golden/journal/schema-2.sqlite3", path_);
  {
    auto journal = open(100);
    ASSERT_TRUE(journal) << journal.error().message();
    EXPECT_EQ(journal->next_window(), 26U);
    ASSERT_TRUE(append(*journal, 100));
  }
  auto reader = JournalReader::open(path_);
  const auto windows = reader->windows(0, {}, 1000).value();
  ASSERT_EQ(windows.size(), 25U * 2 + 3);
  const WindowRow& row = windows[1];
  EXPECT_EQ(row.subject, tuple(1));
  EXPECT_EQ(row.established, 8.0);
  EXPECT_EQ(row.failed_local, 2.0);
  EXPECT_EQ(row.failed_peer, 3.0);
  EXPECT_EQ(row.failed_other, 1.0);
  EXPECT_EQ(row.addr_not_available, 2.0);
  EXPECT_EQ(row.timeouts, 1.0);
  EXPECT_EQ(row.retries, 4.0);
  EXPECT_EQ(row.syn_retransmits, 5.0);
  EXPECT_EQ(row.reconnects_per_s, 6.0);
  EXPECT_EQ(row.ctl99_us, 900.0);
  EXPECT_EQ(row.port_search_p95_us, 12.5);
  EXPECT_EQ(row.dsd95_us, 40.0);
  EXPECT_EQ(row.retry_queue_depth, 0.0);
  EXPECT_EQ(windows[0].established, std::nullopt) << "the host's rows have none";
  const auto ten = reader->roll_ups(RollUpPeriod::kTenSeconds, 0, {}, 100).value();
  ASSERT_EQ(ten.size(), 6U);
  EXPECT_EQ(ten[1].established, 8.0 * static_cast<double>(ten[1].windows));
  EXPECT_EQ(ten[1].port_search_p95_max_us, 12.5);
  EXPECT_EQ(reader->roll_ups(RollUpPeriod::kMinute, 0, {}, 100)->size(), 2U);
}

TEST_F(JournalTest, names_the_fix_when_the_directory_cannot_be_written) {
  if (::geteuid() == 0) {
    ASSERT_EQ(::seteuid(65534), 0);
  } else {
    fs::permissions(directory_, fs::perms::owner_read | fs::perms::owner_exec);
  }
  const auto journal = open();
  (void)::seteuid(::getuid());
  fs::permissions(directory_, fs::perms::owner_all);
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, base::ErrorCode::kNotPermitted);
  EXPECT_THAT(journal.error().hint, HasSubstr("--state-dir"));
}

TEST_F(JournalTest, names_the_fix_when_the_file_cannot_be_written) {
  { ASSERT_TRUE(open()); }
  fs::permissions(path_, fs::perms::owner_read | fs::perms::others_read);
  fs::permissions(directory_, fs::perms::all);
  if (::geteuid() == 0) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const auto journal = open();
  (void)::seteuid(::getuid());
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, base::ErrorCode::kNotPermitted);
  EXPECT_THAT(journal.error().hint, HasSubstr("--state-dir"));
}

TEST_F(JournalTest, a_directory_that_does_not_exist_is_not_found) {
  const auto journal = Journal::open(directory_ / "none" / "journal.sqlite3", {}, at_second(0));
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, base::ErrorCode::kNotFound);
}

TEST_F(JournalTest, moves_a_file_that_is_no_database_aside_and_begins_a_new_one) {
  std::ofstream(path_) << std::string(10'000, 'x');
  auto journal = open();
  ASSERT_TRUE(journal) << journal.error().message();
  const auto notes = journal->take_notes();
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_THAT(notes[1], HasSubstr("journal.sqlite3.corrupt-1700000000"));
  EXPECT_THAT(journal->take_notes(), IsEmpty());
  EXPECT_EQ(fs::file_size(path_.string() + ".corrupt-1700000000"), 10'000U);
  EXPECT_TRUE(append(*journal, 0));
}

TEST_F(JournalTest, never_overwrites_a_file_that_was_moved_aside) {
  for (int i = 0; i < 3; ++i) {
    fs::remove(path_.string() + "-wal");
    std::ofstream(path_, std::ios::trunc) << std::string(5000, 'x');
    ASSERT_TRUE(open());
  }
  EXPECT_THAT(files(), ElementsAre("journal.sqlite3", "journal.sqlite3.corrupt-1700000000",
                                   "journal.sqlite3.corrupt-1700000001", "journal.sqlite3.corrupt-1700000002"));
}

/// Overwrites all pages from the 20th on.
void damage(const fs::path& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  constexpr std::size_t kKept = std::size_t{20} * 4096;
  file.seekp(kKept);
  file << std::string(fs::file_size(path) - kKept, 'x');
}

TEST_F(JournalTest, looks_for_damage_when_the_last_close_was_not_clean) {
  {
    auto journal = open();
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(*journal, i, 64));
  }
  damage(path_);
  ask("UPDATE meta SET closed_cleanly = 0 RETURNING 1");
  auto journal = open();
  ASSERT_TRUE(journal) << journal.error().message();
  EXPECT_THAT(files(), ::testing::Contains("journal.sqlite3.corrupt-1700000000"));
  EXPECT_EQ(journal->next_window(), 1U);
}

TEST_F(JournalTest, damage_that_shows_while_running_costs_no_row) {
  {
    auto journal = open();
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(*journal, i, 64));
  }
  auto journal = open();
  ASSERT_TRUE(journal);
  damage(path_);
  for (int i = 30; i < 60; ++i) ASSERT_TRUE(append(*journal, i, 64)) << i;
  EXPECT_EQ(journal->lost_rows(), 0U);
  EXPECT_THAT(files(), ::testing::Contains(::testing::StartsWith("journal.sqlite3.corrupt-")));
  EXPECT_EQ(journal->next_window(), 61U);
  EXPECT_EQ(all_windows().back().window, 60U);
}

TEST_F(JournalTest, begins_a_new_file_when_somebody_removed_it) {
  auto journal = open();
  ASSERT_TRUE(append(*journal, 0));
  for (const auto& entry : fs::directory_iterator(directory_)) fs::remove(entry);
  ASSERT_TRUE(append(*journal, 1));
  EXPECT_EQ(all_windows().size(), 3U);
  EXPECT_THAT(journal->take_notes(), ElementsAre(HasSubstr("was removed")));
}

/// No file of this process may grow beyond `bytes` meanwhile: a full disk for those who have no other.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    (void)std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(JournalTest, suspends_itself_when_writing_fails_and_comes_back_after_30_seconds) {
  auto journal = open();
  ASSERT_TRUE(append(*journal, 0));
  std::int64_t second = 1;
  {
    const FileSizeLimit limit(400'000);
    while (second < 200 && append(*journal, second, 64)) ++second;
    ASSERT_LT(second, 200);
    EXPECT_TRUE(journal->is_suspended());
    EXPECT_EQ(journal->lost_rows(), 65U);
    EXPECT_THAT(journal->take_notes(), ElementsAre(HasSubstr("is suspended")));
  }
  // The disk is well again, but it is looked at every 30 s only.
  const auto refused = append(*journal, second + 29, 64);
  ASSERT_FALSE(refused);
  EXPECT_FALSE(refused.error().message().empty());
  EXPECT_EQ(journal->lost_rows(), 130U);
  EXPECT_THAT(journal->take_notes(), IsEmpty());
  ASSERT_TRUE(append(*journal, second + 30, 64));
  EXPECT_FALSE(journal->is_suspended());
  EXPECT_EQ(journal->lost_rows(), 130U);
  EXPECT_THAT(journal->take_notes(), ElementsAre(HasSubstr("130 rows were lost")));
  const auto windows = all_windows();
  EXPECT_EQ(windows.back().window, journal->next_window() - 1);
  EXPECT_EQ(windows.size() + journal->lost_rows(), 3U + 65U * (journal->next_window() - 2));
}

TEST_F(JournalTest, stays_suspended_while_the_retry_fails) {
  auto journal = open();
  const FileSizeLimit limit(300'000);
  std::int64_t second = 0;
  while (second < 200 && append(*journal, second, 64)) ++second;
  const FileSizeLimit nothing_more(1000);
  for (int i = 1; i <= 90; ++i) EXPECT_FALSE(append(*journal, second + i, 64)) << i;
  EXPECT_EQ(journal->lost_rows(), 91U * 65U);
  EXPECT_THAT(journal->take_notes(), ElementsAre(HasSubstr("is suspended")));
}

/// A tmpfs of 1 MiB at `directory`, seen by the calling thread only.
bool mount_small_disk(const fs::path& directory) {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=1m") == 0;
}

TEST_F(JournalTest, survives_a_full_disk) {
  bool is_mounted = false;
  std::thread([&] {
    is_mounted = mount_small_disk(directory_);
    if (!is_mounted) return;
    auto journal = open();
    ASSERT_TRUE(journal) << journal.error().message();
    std::int64_t second = 0;
    while (second < 1000 && append(*journal, second, 64)) ++second;
    ASSERT_LT(second, 1000);
    EXPECT_TRUE(journal->is_suspended());
    EXPECT_EQ(append(*journal, second + 30, 64).error().code, base::ErrorCode::kUnavailable);
    ASSERT_EQ(::mount("tmpfs", directory_.c_str(), nullptr, MS_REMOUNT, "size=8m"), 0);
    EXPECT_TRUE(append(*journal, second + 60, 64));
    EXPECT_EQ(journal->lost_rows(), 130U);
  }).join();
  if (!is_mounted) GTEST_SKIP() << "needs root, to mount a small disk in a namespace of its own";
}

TEST_F(JournalTest, does_not_wait_long_for_somebody_who_holds_the_file_locked) {
  auto journal = open();
  auto other = Database::open(path_, Access::kReadWrite, 0);
  {
    auto lock = Transaction::begin(*other);
    ASSERT_TRUE(lock);
    EXPECT_FALSE(append(*journal, 0));
  }
  EXPECT_TRUE(append(*journal, 30));
}

/// Appends windows until it is killed; tells each that is written by a byte.
[[noreturn]] void append_for_ever(const std::string& path, int acknowledge) {
  auto journal = Journal::open(path, {}, at_second(0));
  if (!journal) ::_exit(1);
  while (true) {
    const std::uint64_t window = journal->next_window();
    const auto rows = rows_of(window, static_cast<std::int64_t>(window), 64);
    if (!journal->append({rows, {}}, at_second(static_cast<std::int64_t>(window)))) ::_exit(2);
    if (::write(acknowledge, "w", 1) != 1) ::_exit(3);
  }
}

TEST_F(JournalTest, a_killed_writer_leaves_every_acknowledged_window) {
  std::uint64_t acknowledged = 0;
  for (int round = 0; round < 20; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) append_for_ever(path_, ends[1]);
    const base::FileDescriptor read_end(ends[0]);
    ::close(ends[1]);
    char byte = 0;
    for (int i = 0; i < 3 + round * 2 && ::read(read_end.get(), &byte, 1) == 1; ++i) ++acknowledged;
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended with " << WEXITSTATUS(status);
    while (::read(read_end.get(), &byte, 1) == 1) ++acknowledged;

    auto journal = open();
    ASSERT_TRUE(journal) << journal.error().message();
    EXPECT_THAT(journal->take_notes(), IsEmpty());
    const std::uint64_t last = journal->next_window() - 1;
    EXPECT_THAT(last, AnyOf(acknowledged, acknowledged + 1)) << "round " << round;
    acknowledged = last;
  }
  EXPECT_EQ(Database::open(path_, Access::kReadWrite, 1000)->text("PRAGMA quick_check").value(), "ok");
  EXPECT_EQ(ask("SELECT count(*) FROM window"), static_cast<std::int64_t>(acknowledged * 65));
}

TEST_F(JournalTest, drops_what_is_older_than_asked_and_keeps_the_roll_ups) {
  RetentionOptions retention;
  retention.windows = std::chrono::minutes(2);
  retention.transitions = std::chrono::minutes(3);
  auto journal = open(0, retention);
  for (std::int64_t second = 0; second < 600; ++second) {
    const auto rows = rows_of(journal->next_window(), second, 2);
    const TransitionRow transition{rows[0].at_ns, rows[0].window, {}, "a", "b", "", "", "", false, "[]"};
    ASSERT_TRUE(journal->append({rows, {&transition, 1}}, at_second(second)));
  }
  EXPECT_EQ(all_windows().size(), 121U * 3);
  EXPECT_EQ(ask("SELECT count(*) FROM transition"), 181);
  EXPECT_EQ(ask("SELECT sum(windows) FROM window_10s"), 590 * 3);
  EXPECT_EQ(ask("SELECT sum(windows) FROM window_60s"), 580 * 3);  // the start is 20 s after a minute
}

TEST_F(JournalTest, a_minute_is_whole_after_a_restart_although_its_first_windows_are_dropped_already) {
  RetentionOptions retention;
  retention.windows = base::Nanoseconds(0);
  std::int64_t second = 40;  // a minute begins
  {
    auto journal = open(second, retention);
    for (; second < 75; ++second) ASSERT_TRUE(append(*journal, second));
  }
  ASSERT_LT(all_windows().size(), 20U * 3);
  auto journal = open(second, retention);
  for (; second < 101; ++second) ASSERT_TRUE(append(*journal, second));
  EXPECT_EQ(ask("SELECT sum(windows) FROM window_60s"), 60 * 3);
  EXPECT_EQ(ask("SELECT min(window) FROM window_60s"), 1);
}

TEST_F(JournalTest, a_clock_that_jumps_ahead_drops_little_at_a_time_and_nothing_that_roll_ups_need) {
  auto journal = open();
  for (std::int64_t second = 0; second < 25; ++second) ASSERT_TRUE(append(*journal, second));
  const auto rows = rows_of(26, 25, 2);
  ASSERT_TRUE(journal->append({rows, {}}, at_second(10'000'000)));
  EXPECT_EQ(all_windows().size(), (26U - 4U) * 3);
  for (std::int64_t second = 26; second < 29; ++second) {
    const auto more = rows_of(static_cast<std::uint64_t>(second) + 1, second, 2);
    ASSERT_TRUE(journal->append({more, {}}, at_second(10'000'000)));
  }
  ASSERT_TRUE(append(*journal, 31));
  EXPECT_EQ(ask("SELECT sum(windows) FROM window_10s"), 29 * 3);
}

TEST_F(JournalTest, the_file_stays_below_its_size) {
  RetentionOptions retention;
  retention.max_mib = 8;
  auto journal = open(0, retention);
  std::uintmax_t largest = 0;
  for (std::int64_t second = 0; second < 1500; ++second) {
    ASSERT_TRUE(append(*journal, second, 64));
    largest = std::max(largest, fs::file_size(path_));
  }
  EXPECT_LE(largest, 8U << 20U);
  EXPECT_GT(all_windows().size(), 65U * 300) << "most of the size is used";
  EXPECT_EQ(all_windows().back().window, 1500U);
}

TEST_F(JournalTest, a_smaller_size_is_reached_by_and_by_and_the_file_shrinks) {
  {
    auto journal = open();
    for (std::int64_t second = 0; second < 1500; ++second) ASSERT_TRUE(append(*journal, second, 64));
  }
  ASSERT_GT(fs::file_size(path_), 12U << 20U);
  RetentionOptions retention;
  retention.max_mib = 8;
  {
    auto journal = open(1500, retention);
    for (std::int64_t second = 1500; second < 2000; ++second) ASSERT_TRUE(append(*journal, second, 64));
  }
  EXPECT_LE(fs::file_size(path_), 8U << 20U);
}

TEST_F(JournalTest, reads_the_latest_rows_of_chosen_subjects) {
  auto journal = open();
  for (std::int64_t second = 0; second < 100; ++second) ASSERT_TRUE(append(*journal, second, 3));
  auto reader = JournalReader::open(path_);
  SubjectFilter filter;
  filter.dst = tuple(2).dst;
  filter.dport = 9000;
  auto rows = reader->windows(kStart + 90 * kSecond, filter, 1000).value();
  ASSERT_EQ(rows.size(), 10U);
  EXPECT_EQ(rows.front().at_ns, kStart + 90 * kSecond);
  EXPECT_EQ(rows.back().subject, tuple(2));
  rows = reader->windows(0, filter, 5).value();
  ASSERT_EQ(rows.size(), 5U);
  EXPECT_EQ(rows.front().window, 96U);
  EXPECT_THAT(reader->windows(kStart + 1000 * kSecond, {}, 5).value(), IsEmpty());
  filter = {};
  filter.scope = "host";
  EXPECT_EQ(reader->windows(0, filter, 1000)->size(), 100U);
  EXPECT_EQ(reader->roll_ups(RollUpPeriod::kTenSeconds, kStart + 50 * kSecond, filter, 1000)->size(), 4U);
}

TEST_F(JournalTest, a_reader_does_not_make_a_file) {
  const auto reader = JournalReader::open(path_);
  EXPECT_FALSE(reader);
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(JournalTest, takes_its_retention_from_the_configuration) {
  RetentionOptions retention;
  const auto settings = settings_of(retention);
  ASSERT_TRUE(base::apply_toml("[journal]\nkeep_windows = \"1h\"\nmax_mib = 8\n", "a.toml", settings));
  EXPECT_EQ(retention.windows, std::chrono::hours(1));
  EXPECT_EQ(retention.max_mib, 8U);
  EXPECT_FALSE(base::apply_toml("[journal]\nmax_mib = 7\n", "a.toml", settings));
}

}  // namespace
}  // namespace tidewaiter::store
