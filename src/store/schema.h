// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "store/database.h"

namespace tidewaiter::store {

/// What `meta` says about the process that writes.
struct Writer {
  std::string instance;
  std::string boot_id;
  std::int64_t boot_offset_ns = 0;  ///< Unix time minus monotonic time, of this boot
};

/// The schema that this version writes.
[[nodiscard]] int current_schema();

/// Brings a new or older file up to the current schema, each step in a transaction of its own, and notes the writer.
/// Errors: kInvalidArgument for a newer schema (naming both) and for an SQLite file that is no journal; those of
/// Database.
[[nodiscard]] base::Result<void> migrate(Database& database, const Writer& writer, std::int64_t now_ns);

/// Errors: as `migrate`, when the file's schema is not the one that this version reads.
[[nodiscard]] base::Result<void> check_schema(Database& database);

}  // namespace tidewaiter::store
