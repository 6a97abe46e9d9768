// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tidewaiter::store {

/// A prepared statement of one Database, to be used again and again: bind everything, step to the end, repeat.
class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  /// Parameters count from 1. Texts must live until the statement has been stepped to its end.
  void bind(int parameter, std::int64_t value);
  void bind(int parameter, std::uint64_t value) { bind(parameter, static_cast<std::int64_t>(value)); }
  void bind(int parameter, int value) { bind(parameter, static_cast<std::int64_t>(value)); }
  void bind(int parameter, bool value) { bind(parameter, static_cast<std::int64_t>(value)); }
  void bind(int parameter, const std::string& value);
  void bind(int parameter, std::optional<double> value);

  /// True: a row can be read. False: done, and ready to be bound again. An error also makes it ready again.
  [[nodiscard]] base::Result<bool> step();

  /// Steps to the end, passing over rows.
  [[nodiscard]] base::Result<void> finish();

  /// Ends early, so that no read transaction stays open.
  void reset();

  /// Columns count from 0.
  void read(int column, std::int64_t& value) const;
  void read(int column, std::uint64_t& value) const;
  void read(int column, int& value) const;
  void read(int column, bool& value) const;
  void read(int column, std::string& value) const;
  void read(int column, std::optional<double>& value) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

enum class Access : std::uint8_t { kReadOnly, kReadWrite };

/// One connection to an SQLite file. Used by one thread at a time.
/// Errors of all its operations: kMalformed when the file is damaged or no SQLite file; kNotPermitted when it cannot
/// be opened or written here; kUnavailable when the disk is full, fails, or another process keeps the file locked.
class Database {
 public:
  /// `busy_ms`: how long a lock of another process is waited for.
  [[nodiscard]] static base::Result<Database> open(const std::string& path, Access access, int busy_ms);

  [[nodiscard]] bool is_open() const { return connection_ != nullptr; }

  /// Statements without parameters, separated by semicolons.
  [[nodiscard]] base::Result<void> run(const std::string& sql);

  [[nodiscard]] base::Result<Statement> prepare(const std::string& sql);

  /// The first column of the first row; absent when there is no row or it is NULL.
  [[nodiscard]] base::Result<std::optional<std::int64_t>> whole(const std::string& sql);
  [[nodiscard]] base::Result<std::string> text(const std::string& sql);

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  std::unique_ptr<sqlite3, Close> connection_;
};

/// A write transaction: rolled back unless committed.
class Transaction {
 public:
  [[nodiscard]] static base::Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  [[nodiscard]] base::Result<void> commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace tidewaiter::store
