// SPDX-License-Identifier: Apache-2.0
#include "store/roll_up.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <rapidcheck.h>
#include <unistd.h>

#include "store/journal.h"
#include "store/journal_reader.h"

namespace tidewaiter::store {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kStart = 1'700'000'000 * kSecond;
constexpr std::array<const char*, 4> kStates{"calm", "busy", "bad", "awful"};

class OwnDirectory {
 public:
  OwnDirectory() {
    std::string pattern = (fs::temp_directory_path() / "tidewaiter-rollup-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  OwnDirectory(const OwnDirectory&) = delete;
  OwnDirectory& operator=(const OwnDirectory&) = delete;
  ~OwnDirectory() { fs::remove_all(path_); }
  [[nodiscard]] std::string file() const { return (path_ / "journal.sqlite3").string(); }

 private:
  fs::path path_;
};

using Windows = std::vector<std::vector<WindowRow>>;

std::optional<double> maybe_number() {
  const int number = *rc::gen::inRange(-40, 100);
  return number < 0 ? std::nullopt : std::optional(number / 100.0);
}

WindowRow random_row(std::uint64_t window, std::int64_t at_ns, int tuple) {
  WindowRow row;
  row.window = window;
  row.at_ns = at_ns;
  if (tuple > 0) row.subject = {"tuple", "self", "::1", "::" + std::to_string(tuple), tuple};
  row.severity = *rc::gen::inRange(0, 4);
  row.state = kStates.at(static_cast<std::size_t>(row.severity));
  row.p_stress = maybe_number();
  row.ppr = maybe_number();
  row.free = maybe_number();
  row.demand_per_s = maybe_number();
  row.time_to_exhaustion_s = maybe_number();
  row.established = maybe_number();
  row.failed_local = maybe_number();
  row.failed_peer = maybe_number();
  row.failed_other = maybe_number();
  row.port_search_p95_us = maybe_number();
  return row;
}

/// Windows whose clock mostly goes on by 0 to 15 s, and sometimes steps back or far ahead.
Windows random_windows() {
  Windows windows;
  std::int64_t at_ns = kStart;
  const int count = *rc::gen::inRange(1, 60);
  for (int i = 0; i < count; ++i) {
    const int step = *rc::gen::inRange(0, 100);
    at_ns += step < 90 ? step % 16 * kSecond : (step < 95 ? -45 * kSecond : 300 * kSecond);
    std::vector<WindowRow> rows{random_row(static_cast<std::uint64_t>(i) + 1, at_ns, 0)};
    for (int tuple = 1; tuple <= 3; ++tuple) {
      if (*rc::gen::arbitrary<bool>()) rows.push_back(random_row(static_cast<std::uint64_t>(i) + 1, at_ns, tuple));
    }
    windows.push_back(std::move(rows));
  }
  return windows;
}

void take_max(std::optional<double>& into, const std::optional<double>& value) {
  if (value) into = into ? std::max(*into, *value) : *value;
}
void take_min(std::optional<double>& into, const std::optional<double>& value) {
  if (value) into = into ? std::min(*into, *value) : *value;
}

void add(std::optional<double>& into, const std::optional<double>& value) {
  if (value) into = into.value_or(0) + *value;
}

/// All rows at once, run by run; the last run of all is still open and left out.
std::vector<RollUpRow> naive_roll_ups(const Windows& windows, std::int64_t period_ns) {
  std::vector<RollUpRow> result;
  std::size_t begin = 0;
  while (begin < windows.size()) {
    const std::int64_t bucket = windows[begin][0].at_ns / period_ns;
    std::size_t end = begin;
    std::map<std::string, RollUpRow> by_subject;
    std::map<std::string, double> p_sums;
    for (; end < windows.size() && windows[end][0].at_ns / period_ns == bucket; ++end) {
      for (const WindowRow& row : windows[end]) {
        RollUpRow& sum = by_subject[row.subject.scope + row.subject.dst];
        if (sum.windows++ == 0) sum.worst_severity = -1;
        sum.subject = row.subject;
        sum.at_ns = bucket * period_ns;
        sum.window = windows[begin][0].window;
        if (row.severity > sum.worst_severity) {
          sum.worst_severity = row.severity;
          sum.worst_state = row.state;
        }
        sum.p_windows += row.p_stress ? 1 : 0;
        p_sums[row.subject.scope + row.subject.dst] += row.p_stress.value_or(0);
        take_max(sum.p_max, row.p_stress);
        take_max(sum.ppr_max, row.ppr);
        take_min(sum.free_min, row.free);
        take_min(sum.time_to_exhaustion_min_s, row.time_to_exhaustion_s);
        take_max(sum.demand_max_per_s, row.demand_per_s);
        add(sum.established, row.established);
        add(sum.failed_local, row.failed_local);
        add(sum.failed_peer, row.failed_peer);
        add(sum.failed_other, row.failed_other);
        take_max(sum.port_search_p95_max_us, row.port_search_p95_us);
      }
    }
    if (end == windows.size()) break;
    for (auto& [key, sum] : by_subject) {
      sum.last_window = windows[end - 1][0].window;
      if (sum.p_windows > 0) sum.p_mean = p_sums[key] / static_cast<double>(sum.p_windows);
      result.push_back(sum);
    }
    begin = end;
  }
  return result;
}

/// To the rounding of sums in another order.
bool is_close(const std::optional<double>& left, const std::optional<double>& right) {
  return left.has_value() == right.has_value() && std::abs(left.value_or(0) - right.value_or(0)) < 1e-9;
}

bool is_same(const RollUpRow& left, const RollUpRow& right) {
  const bool has_same_sums = is_close(left.p_mean, right.p_mean) && is_close(left.established, right.established) &&
                             is_close(left.failed_local, right.failed_local) &&
                             is_close(left.failed_peer, right.failed_peer) &&
                             is_close(left.failed_other, right.failed_other);
  return has_same_sums && left.port_search_p95_max_us == right.port_search_p95_max_us && left.window == right.window &&
         left.last_window == right.last_window && left.at_ns == right.at_ns && left.subject == right.subject &&
         left.worst_state == right.worst_state && left.worst_severity == right.worst_severity &&
         left.windows == right.windows && left.p_windows == right.p_windows && left.p_max == right.p_max &&
         left.ppr_max == right.ppr_max && left.free_min == right.free_min &&
         left.time_to_exhaustion_min_s == right.time_to_exhaustion_min_s &&
         left.demand_max_per_s == right.demand_max_per_s;
}

bool are_same(const std::vector<RollUpRow>& left, const std::vector<RollUpRow>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), is_same);
}

std::size_t rows_in(const Windows& windows) {
  std::size_t rows = 0;
  for (const auto& window : windows) rows += window.size();
  return rows;
}

std::size_t windows_in(const std::vector<RollUpRow>& rows) {
  std::int64_t sum = 0;
  for (const RollUpRow& row : rows) sum += row.windows;
  return static_cast<std::size_t>(sum);
}

TEST(RollUp, equals_a_recomputation_from_all_windows_also_across_restarts_and_steps_of_the_clock) {
  EXPECT_TRUE(rc::check("roll-ups equal the naive sums", [] {
    const OwnDirectory directory;
    const Windows windows = random_windows();
    RetentionOptions keep_all;
    keep_all.windows = std::chrono::hours(1000);
    const base::Moment now{base::Instant(base::Seconds(1)), base::WallTime(base::Nanoseconds(kStart))};
    auto journal = Journal::open(directory.file(), {{}, keep_all}, now);
    for (const auto& rows : windows) {
      if (*rc::gen::inRange(0, 8) == 0) {
        journal = base::fail(base::ErrorCode::kInternal, "closed");
        journal = Journal::open(directory.file(), {{}, keep_all}, now);
      }
      RC_ASSERT(journal->append({rows, {}}, now).has_value());
    }
    auto reader = JournalReader::open(directory.file());
    const auto ten = reader->roll_ups(RollUpPeriod::kTenSeconds, 0, {}, 100'000).value();
    const auto sixty = reader->roll_ups(RollUpPeriod::kMinute, 0, {}, 100'000).value();
    RC_ASSERT(are_same(ten, naive_roll_ups(windows, 10 * kSecond)));
    RC_ASSERT(are_same(sixty, naive_roll_ups(windows, 60 * kSecond)));

    // Every row is in a roll-up or in the run that is still open.
    std::size_t open_rows = 0;
    const std::uint64_t covered = ten.empty() ? 0 : ten.back().last_window;
    for (const auto& window : windows) open_rows += window[0].window > covered ? window.size() : 0;
    RC_ASSERT(windows_in(ten) + open_rows == rows_in(windows));
  }));
}

}  // namespace
}  // namespace tidewaiter::store
