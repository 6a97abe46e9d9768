// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "board/parameter_block_reader.h"
#include "board/parameter_block_writer.h"

namespace tidewaiter::board {

inline base::Instant at(base::Nanoseconds since_boot) { return base::Instant(since_boot); }

/// The n-th tuple: distinct, none empty.
inline tw_tuple tuple_of(std::uint32_t n) {
  tw_tuple key{};
  key.source[10] = key.source[11] = key.destination[10] = key.destination[11] = 0xff;
  key.source[12] = 127;
  std::memcpy(key.destination + 12, &n, sizeof n);
  key.netns_hash = tw_netns_hash("self");
  key.port = 9000;
  return key;
}

inline tw_parameters parameters_of(std::uint64_t version) {
  const auto number = static_cast<std::uint32_t>(version);
  return {.clip_scale = static_cast<double>(version),
          .catch_up_cap = std::numeric_limits<double>::quiet_NaN(),
          .retry_rate_per_s = static_cast<double>(version),
          .connect_rate_per_s = static_cast<double>(version),
          .launch_jitter_max_ms = number,
          .retry_burst = number,
          .max_new_connects = number,
          .pool_reuse = static_cast<std::uint8_t>(version % 4),
          .optional_reconnects = static_cast<std::uint8_t>(version % 4),
          .non_urgent_flow = static_cast<std::uint8_t>(version % 3),
          .urgency_override = static_cast<std::uint8_t>(version % 3)};
}

/// A record all of whose values follow from `version`, so that a mixture of two is seen.
inline tw_record record_of(const tw_tuple& key, std::uint64_t version) {
  tw_record record{};
  record.key = key;
  record.since_ns = static_cast<std::int64_t>(version);
  record.p_stress = static_cast<double>(version) / 1e6;
  record.state = static_cast<std::uint8_t>(version % 4);
  record.peer_fault = static_cast<std::uint8_t>(version % 2);
  record.connection_mode = static_cast<std::uint8_t>(version % 3);
  record.order_mode = static_cast<std::uint8_t>(version % 3);
  record.live = parameters_of(version);
  record.enforced = parameters_of(version + 1);
  record.stale = parameters_of(version + 2);
  return record;
}

/// A record of each numbered tuple; its number is its version.
inline std::vector<tw_record> records_of(const std::vector<std::uint32_t>& numbers) {
  std::vector<tw_record> records;
  records.reserve(numbers.size());
  for (const std::uint32_t number : numbers) records.push_back(record_of(tuple_of(number), number));
  return records;
}

inline bool is_same(const tw_record& left, const tw_record& right) { return words_of(left) == words_of(right); }

/// Exactly what record_of made of some version?
inline bool is_whole(const tw_record& record) {
  return is_same(record, record_of(record.key, static_cast<std::uint64_t>(record.since_ns)));
}

inline ParameterBlockWriter writer_of(base::Nanoseconds interval = base::Seconds(1)) {
  auto writer = ParameterBlockWriter::create({.interval = interval});
  if (!writer) {
    ADD_FAILURE() << writer.error().message();
    std::abort();
  }
  return std::move(*writer);
}

/// As a client gets it: a descriptor of its own.
inline base::Result<ParameterBlockReader> try_read(int descriptor) {
  return ParameterBlockReader::open(base::FileDescriptor(dup(descriptor)));
}

inline ParameterBlockReader reader_of(int descriptor) {
  auto reader = try_read(descriptor);
  if (!reader) {
    ADD_FAILURE() << reader.error().message();
    std::abort();
  }
  return std::move(*reader);
}

}  // namespace tidewaiter::board
