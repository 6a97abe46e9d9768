// SPDX-License-Identifier: Apache-2.0
#include "store/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

namespace tidewaiter::store {
namespace {

base::ErrorCode code_of(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return base::ErrorCode::kMalformed;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
      return base::ErrorCode::kNotPermitted;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
    case SQLITE_PROTOCOL:
      return base::ErrorCode::kUnavailable;
    default:
      return base::ErrorCode::kInternal;
  }
}

tl::unexpected<base::Error> fail_sqlite(sqlite3* connection) {
  const int code = sqlite3_extended_errcode(connection);
  return tl::unexpected(base::Error{code_of(code), sqlite3_system_errno(connection), {sqlite3_errmsg(connection)}, {}});
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void Statement::bind(int parameter, std::int64_t value) { sqlite3_bind_int64(statement_.get(), parameter, value); }

void Statement::bind(int parameter, const std::string& value) {
  sqlite3_bind_text(statement_.get(), parameter, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
}

void Statement::bind(int parameter, std::optional<double> value) {
  if (value) {
    sqlite3_bind_double(statement_.get(), parameter, *value);
  } else {
    sqlite3_bind_null(statement_.get(), parameter);
  }
}

base::Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  sqlite3* const connection = sqlite3_db_handle(statement_.get());
  if (code == SQLITE_DONE) {
    reset();
    return false;
  }
  auto error = fail_sqlite(connection);
  reset();
  return error;
}

base::Result<void> Statement::finish() {
  while (true) {
    const auto row = step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return {};
  }
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

void Statement::read(int column, std::int64_t& value) const { value = sqlite3_column_int64(statement_.get(), column); }

void Statement::read(int column, std::uint64_t& value) const {
  value = static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

void Statement::read(int column, int& value) const { value = sqlite3_column_int(statement_.get(), column); }

void Statement::read(int column, bool& value) const { value = sqlite3_column_int(statement_.get(), column) != 0; }

void Statement::read(int column, std::string& value) const {
  const auto* const text = sqlite3_column_text(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  value.assign(text == nullptr ? "" : reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
}

void Statement::read(int column, std::optional<double>& value) const {
  value.reset();
  if (sqlite3_column_type(statement_.get(), column) != SQLITE_NULL) {
    value = sqlite3_column_double(statement_.get(), column);
  }
}

void Database::Close::operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }

base::Result<Database> Database::open(const std::string& path, Access access, int busy_ms) {
  const int flags = access == Access::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3* connection = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &connection, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database;
  database.connection_.reset(connection);
  if (connection == nullptr) return base::fail(base::ErrorCode::kUnavailable, path + ": out of memory");
  if (code != SQLITE_OK) return base::wrap(fail_sqlite(connection).value(), path);
  sqlite3_extended_result_codes(connection, 1);
  sqlite3_busy_timeout(connection, busy_ms);
  return database;
}

base::Result<void> Database::run(const std::string& sql) {
  if (sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return fail_sqlite(connection_.get());
}

base::Result<Statement> Database::prepare(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(connection_.get(), sql.c_str(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return fail_sqlite(connection_.get());
  return Statement(statement);
}

base::Result<std::optional<std::int64_t>> Database::whole(const std::string& sql) {
  auto statement = prepare(sql);
  if (!statement) return tl::unexpected(statement.error());
  const auto row = statement->step();
  if (!row) return tl::unexpected(row.error());
  std::optional<double> present;
  if (*row) statement->read(0, present);
  if (!present) return std::nullopt;
  std::int64_t value = 0;
  statement->read(0, value);
  return value;
}

base::Result<std::string> Database::text(const std::string& sql) {
  auto statement = prepare(sql);
  if (!statement) return tl::unexpected(statement.error());
  const auto row = statement->step();
  if (!row) return tl::unexpected(row.error());
  std::string value;
  if (*row) statement->read(0, value);
  return value;
}

base::Result<Transaction> Transaction::begin(Database& database) {
  if (auto begun = database.run("BEGIN IMMEDIATE"); !begun) return tl::unexpected(begun.error());
  return Transaction(&database);
}

base::Result<void> Transaction::commit() {
  auto committed = database_->run("COMMIT");
  if (committed) database_ = nullptr;
  return committed;
}

Transaction::~Transaction() {
  if (database_ != nullptr) (void)database_->run("ROLLBACK");  // SQLite may have rolled back by itself
}

}  // namespace tidewaiter::store
