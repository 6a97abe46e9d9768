// SPDX-License-Identifier: Apache-2.0
#include "store/schema.h"

#include <array>
#include <fmt/format.h>

namespace tidewaiter::store {
namespace {

// Rows of a window lie together, in the order of their windows; the key of a roll-up is the first window of its run.
// The index of times holds one entry a window, not one a row.
constexpr const char* kSchema1 = R"sql(
CREATE TABLE meta(
  id INTEGER PRIMARY KEY CHECK (id = 1), schema_version INTEGER NOT NULL,
  instance TEXT NOT NULL, boot_id TEXT NOT NULL, boot_offset_ns INTEGER NOT NULL, created_ns INTEGER NOT NULL,
  closed_cleanly INTEGER NOT NULL,
  rolled_10s INTEGER NOT NULL,  -- last window that window_10s covers
  rolled_60s INTEGER NOT NULL);
CREATE TABLE window(
  window INTEGER NOT NULL, at_ns INTEGER NOT NULL,
  scope TEXT NOT NULL, netns TEXT NOT NULL, src TEXT NOT NULL, dst TEXT NOT NULL, dport INTEGER NOT NULL,
  state TEXT NOT NULL, enforced_state TEXT NOT NULL, severity INTEGER NOT NULL, stale INTEGER NOT NULL,
  p_stress REAL, ppr REAL, ppr_preferred REAL, twr REAL, live REAL, time_wait REAL, free REAL,
  demand_per_s REAL, time_to_cliff_s REAL, time_to_exhaustion_s REAL,
  cfr REAL, cfr_local REAL, attempts REAL, ctl95_us REAL, rbi REAL,
  model TEXT NOT NULL, parameters TEXT NOT NULL, reasons TEXT NOT NULL,
  PRIMARY KEY (window, scope, netns, src, dst, dport)) WITHOUT ROWID;
CREATE INDEX window_by_time ON window(at_ns) WHERE scope = 'host';
CREATE TABLE window_10s(
  window INTEGER NOT NULL, last_window INTEGER NOT NULL, at_ns INTEGER NOT NULL,
  scope TEXT NOT NULL, netns TEXT NOT NULL, src TEXT NOT NULL, dst TEXT NOT NULL, dport INTEGER NOT NULL,
  worst_state TEXT NOT NULL, worst_severity INTEGER NOT NULL, windows INTEGER NOT NULL, p_windows INTEGER NOT NULL,
  p_mean REAL, p_max REAL, ppr_max REAL, free_min REAL, time_to_exhaustion_min_s REAL, demand_max_per_s REAL,
  PRIMARY KEY (window, scope, netns, src, dst, dport)) WITHOUT ROWID;
CREATE TABLE window_60s(
  window INTEGER NOT NULL, last_window INTEGER NOT NULL, at_ns INTEGER NOT NULL,
  scope TEXT NOT NULL, netns TEXT NOT NULL, src TEXT NOT NULL, dst TEXT NOT NULL, dport INTEGER NOT NULL,
  worst_state TEXT NOT NULL, worst_severity INTEGER NOT NULL, windows INTEGER NOT NULL, p_windows INTEGER NOT NULL,
  p_mean REAL, p_max REAL, ppr_max REAL, free_min REAL, time_to_exhaustion_min_s REAL, demand_max_per_s REAL,
  PRIMARY KEY (window, scope, netns, src, dst, dport)) WITHOUT ROWID;
CREATE TABLE transition(
  id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, window INTEGER NOT NULL,
  scope TEXT NOT NULL, netns TEXT NOT NULL, src TEXT NOT NULL, dst TEXT NOT NULL, dport INTEGER NOT NULL,
  from_state TEXT NOT NULL, to_state TEXT NOT NULL, trigger TEXT NOT NULL,
  mode_connection TEXT NOT NULL, mode_order TEXT NOT NULL, enforced INTEGER NOT NULL, reasons TEXT NOT NULL);
CREATE TABLE decision(
  id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, window INTEGER NOT NULL,
  scope TEXT NOT NULL, netns TEXT NOT NULL, src TEXT NOT NULL, dst TEXT NOT NULL, dport INTEGER NOT NULL,
  order_id TEXT NOT NULL, parent_id TEXT NOT NULL, outcome TEXT NOT NULL, mode TEXT NOT NULL,
  enforced INTEGER NOT NULL, hold_until_ns INTEGER, detail TEXT NOT NULL);
CREATE TABLE order_event(
  id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, order_id TEXT NOT NULL, parent_id TEXT NOT NULL,
  event TEXT NOT NULL, venue TEXT NOT NULL, symbol TEXT NOT NULL, side INTEGER, quantity TEXT, price TEXT,
  detail TEXT NOT NULL);
CREATE TABLE execution(
  id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, execution_id TEXT NOT NULL, order_id TEXT NOT NULL,
  parent_id TEXT NOT NULL, venue TEXT NOT NULL, symbol TEXT NOT NULL, side INTEGER, quantity TEXT NOT NULL,
  price TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE incident(
  id INTEGER PRIMARY KEY, opened_ns INTEGER NOT NULL, closed_ns INTEGER, acknowledged_ns INTEGER,
  scope TEXT NOT NULL, netns TEXT NOT NULL, src TEXT NOT NULL, dst TEXT NOT NULL, dport INTEGER NOT NULL,
  state TEXT NOT NULL, summary TEXT NOT NULL, evidence TEXT NOT NULL);
CREATE TABLE audit(
  id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, uid INTEGER, role TEXT NOT NULL, action TEXT NOT NULL,
  target TEXT NOT NULL, reason TEXT NOT NULL, expires_ns INTEGER, detail TEXT NOT NULL,
  previous_hash BLOB NOT NULL, hash BLOB NOT NULL);
)sql";

// Connects one by one, and what programs report themselves. Rows from before have NULL: not known.
constexpr const char* kSchema2 = R"sql(
ALTER TABLE window ADD COLUMN established REAL;
ALTER TABLE window ADD COLUMN failed_local REAL;
ALTER TABLE window ADD COLUMN failed_peer REAL;
ALTER TABLE window ADD COLUMN failed_other REAL;
ALTER TABLE window ADD COLUMN addr_not_available REAL;
ALTER TABLE window ADD COLUMN timeouts REAL;
ALTER TABLE window ADD COLUMN retries REAL;
ALTER TABLE window ADD COLUMN syn_retransmits REAL;
ALTER TABLE window ADD COLUMN reconnects_per_s REAL;
ALTER TABLE window ADD COLUMN ctl99_us REAL;
ALTER TABLE window ADD COLUMN port_search_p95_us REAL;
ALTER TABLE window ADD COLUMN dsd95_us REAL;
ALTER TABLE window ADD COLUMN retry_queue_depth REAL;
ALTER TABLE window_10s ADD COLUMN established REAL;
ALTER TABLE window_10s ADD COLUMN failed_local REAL;
ALTER TABLE window_10s ADD COLUMN failed_peer REAL;
ALTER TABLE window_10s ADD COLUMN failed_other REAL;
ALTER TABLE window_10s ADD COLUMN port_search_p95_max_us REAL;
ALTER TABLE window_60s ADD COLUMN established REAL;
ALTER TABLE window_60s ADD COLUMN failed_local REAL;
ALTER TABLE window_60s ADD COLUMN failed_peer REAL;
ALTER TABLE window_60s ADD COLUMN failed_other REAL;
ALTER TABLE window_60s ADD COLUMN port_search_p95_max_us REAL;
)sql";

/// Step i leads from schema i to schema i + 1. Steps are never changed once released.
constexpr std::array<const char*, 2> kSteps{kSchema1, kSchema2};

base::Result<bool> has_table(Database& database, const std::string& condition) {
  return database.whole("SELECT count(*) FROM sqlite_schema WHERE type = 'table'" + condition)
      .map([](const std::optional<std::int64_t>& count) { return count.value_or(0) > 0; });
}

/// 0: an empty file.
base::Result<int> schema_of(Database& database) {
  const auto known = has_table(database, " AND name = 'meta'");
  if (!known) return tl::unexpected(known.error());
  if (!*known) {
    const auto foreign = has_table(database, "");
    if (!foreign) return tl::unexpected(foreign.error());
    if (!*foreign) return 0;
    return base::fail(base::ErrorCode::kInvalidArgument, "an SQLite file, but no journal", "give another path");
  }
  const auto version = database.whole("SELECT schema_version FROM meta");
  if (!version) return tl::unexpected(version.error());
  return static_cast<int>(version->value_or(0));
}

base::Result<void> refuse_newer(int schema) {
  if (schema <= current_schema()) return {};
  return base::fail(
      base::ErrorCode::kInvalidArgument,
      fmt::format("the journal has schema {}, this version knows schemas up to {}", schema, current_schema()),
      "use the version that wrote it, or move the file aside");
}

base::Result<void> take_step(Database& database, int step, const Writer& writer, std::int64_t now_ns) {
  auto transaction = Transaction::begin(database);
  if (!transaction) return tl::unexpected(transaction.error());
  if (auto done = database.run(kSteps.at(static_cast<std::size_t>(step))); !done) return done;
  if (step == 0) {
    auto insert = database.prepare("INSERT INTO meta VALUES (1, 0, ?1, ?2, ?3, ?4, 1, 0, 0)");
    if (!insert) return tl::unexpected(insert.error());
    insert->bind(1, writer.instance);
    insert->bind(2, writer.boot_id);
    insert->bind(3, writer.boot_offset_ns);
    insert->bind(4, now_ns);
    if (auto done = insert->finish(); !done) return done;
  }
  if (auto done = database.run(fmt::format("UPDATE meta SET schema_version = {}", step + 1)); !done) return done;
  return transaction->commit();
}

base::Result<void> note_writer(Database& database, const Writer& writer) {
  auto update = database.prepare("UPDATE meta SET instance = ?1, boot_id = ?2, boot_offset_ns = ?3");
  if (!update) return tl::unexpected(update.error());
  update->bind(1, writer.instance);
  update->bind(2, writer.boot_id);
  update->bind(3, writer.boot_offset_ns);
  return update->finish();
}

}  // namespace

int current_schema() { return static_cast<int>(kSteps.size()); }

base::Result<void> migrate(Database& database, const Writer& writer, std::int64_t now_ns) {
  const auto schema = schema_of(database);
  if (!schema) return tl::unexpected(schema.error());
  if (auto allowed = refuse_newer(*schema); !allowed) return allowed;
  for (int step = *schema; step < current_schema(); ++step) {
    if (auto done = take_step(database, step, writer, now_ns); !done) {
      return base::wrap(done.error(), fmt::format("migration from schema {} to {}", step, step + 1));
    }
  }
  return note_writer(database, writer);
}

base::Result<void> check_schema(Database& database) {
  const auto schema = schema_of(database);
  if (!schema) return tl::unexpected(schema.error());
  if (*schema == current_schema()) return {};
  if (auto allowed = refuse_newer(*schema); !allowed) return allowed;
  return base::fail(base::ErrorCode::kUnavailable,
                    fmt::format("the journal has schema {}, which no agent of this version has opened yet", *schema));
}

}  // namespace tidewaiter::store
