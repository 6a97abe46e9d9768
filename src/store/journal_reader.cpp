// SPDX-License-Identifier: Apache-2.0
#include "store/journal_reader.h"

#include <algorithm>
#include <fmt/format.h>

#include "store/schema.h"

namespace tidewaiter::store {
namespace {

constexpr int kBusyMs = 250;

constexpr const char* kFiltered =
    " AND (?3 IS NULL OR scope = ?3) AND (?4 IS NULL OR netns = ?4) AND (?5 IS NULL OR src = ?5)"
    " AND (?6 IS NULL OR dst = ?6) AND (?7 IS NULL OR dport = ?7)";

// Windows are found by number: the first whose host row is young enough. The clock may have stepped back later, so
// the time of each row is looked at as well.
constexpr const char* kWindowsSince =
    "window >= (SELECT min(window) FROM window WHERE scope = 'host' AND at_ns >= ?1) AND at_ns >= ?1";

template <class Row, class ForEach>
std::string columns_of(const ForEach& for_each) {
  std::string columns;
  Row row;
  for_each(row,
           [&](const char* column, const auto&) { columns += (columns.empty() ? "" : ", ") + std::string(column); });
  return columns;
}

void bind_optional(Statement& statement, int parameter, const std::optional<std::string>& text) {
  if (text) {
    statement.bind(parameter, *text);
  } else {
    statement.bind(parameter, std::optional<double>());
  }
}

struct Query {
  std::string sql;
  std::int64_t since_ns;
  std::size_t limit;
  const SubjectFilter* filter;  ///< none for queries without one
};

template <class Row, class ForEach>
base::Result<std::vector<Row>> read_rows(Database& database, const Query& query, const ForEach& for_each) {
  auto statement = database.prepare(query.sql);
  if (!statement) return tl::unexpected(statement.error());
  statement->bind(1, query.since_ns);
  statement->bind(2, static_cast<std::int64_t>(std::min<std::size_t>(query.limit, 1U << 30U)));
  if (query.filter != nullptr) {
    bind_optional(*statement, 3, query.filter->scope);
    bind_optional(*statement, 4, query.filter->netns);
    bind_optional(*statement, 5, query.filter->src);
    bind_optional(*statement, 6, query.filter->dst);
    if (query.filter->dport) statement->bind(7, *query.filter->dport);
  }
  std::vector<Row> rows;
  while (true) {
    const auto more = statement->step();
    if (!more) return tl::unexpected(more.error());
    if (!*more) break;
    int column = 0;
    Row& row = rows.emplace_back();
    for_each(row, [&](const char*, auto& field) { statement->read(column++, field); });
  }
  std::reverse(rows.begin(), rows.end());
  return rows;
}

}  // namespace

base::Result<JournalReader> JournalReader::open(const std::string& path) {
  auto database = Database::open(path, Access::kReadOnly, kBusyMs);
  if (!database) return tl::unexpected(database.error());
  if (auto known = check_schema(*database); !known) return base::wrap(known.error(), path);
  JournalReader reader;
  reader.database_ = std::move(*database);
  return reader;
}

base::Result<std::vector<TransitionRow>> JournalReader::transitions(std::int64_t since_ns, std::size_t limit) {
  const auto fields = [](auto& row, const auto& visit) { for_each_transition_field(row, visit); };
  const std::string sql = fmt::format("SELECT {} FROM transition WHERE at_ns >= ?1 ORDER BY id DESC LIMIT ?2",
                                      columns_of<TransitionRow>(fields));
  return read_rows<TransitionRow>(database_, {sql, since_ns, limit, nullptr}, fields);
}

base::Result<std::vector<WindowRow>> JournalReader::windows(std::int64_t since_ns, const SubjectFilter& filter,
                                                            std::size_t limit) {
  const auto fields = [](auto& row, const auto& visit) { for_each_window_field(row, visit); };
  const std::string sql = fmt::format(
      "SELECT {} FROM window WHERE {}{} ORDER BY window DESC, scope DESC, netns DESC, "
      "src DESC, dst DESC, dport DESC LIMIT ?2",
      columns_of<WindowRow>(fields), kWindowsSince, kFiltered);
  return read_rows<WindowRow>(database_, {sql, since_ns, limit, &filter}, fields);
}

base::Result<std::vector<RollUpRow>> JournalReader::roll_ups(RollUpPeriod period, std::int64_t since_ns,
                                                             const SubjectFilter& filter, std::size_t limit) {
  const auto fields = [](auto& row, const auto& visit) { for_each_roll_up_field(row, visit); };
  const std::string sql = fmt::format(
      "SELECT {} FROM {} WHERE at_ns >= ?1{} ORDER BY window DESC, scope DESC, "
      "netns DESC, src DESC, dst DESC, dport DESC LIMIT ?2",
      columns_of<RollUpRow>(fields), period == RollUpPeriod::kTenSeconds ? "window_10s" : "window_60s", kFiltered);
  return read_rows<RollUpRow>(database_, {sql, since_ns, limit, &filter}, fields);
}

}  // namespace tidewaiter::store
