// SPDX-License-Identifier: Apache-2.0
#include "board/reader_c.h"

#include <cerrno>
#include <exception>
#include <string>

#include "board/attachment.h"

/// What the opaque handle is.
struct tw_board {
  tidewaiter::board::Attachment attachment;
};

namespace {

namespace board = tidewaiter::board;
namespace base = tidewaiter::base;

thread_local std::string last_error;

int errno_of(const base::Error& error) {
  if (error.system_errno != 0) return error.system_errno;
  switch (error.code) {
    case base::ErrorCode::kInvalidArgument:
      return EINVAL;
    case base::ErrorCode::kNotFound:
      return ENOENT;
    case base::ErrorCode::kNotPermitted:
      return EACCES;
    case base::ErrorCode::kUnavailable:
      return EAGAIN;
    case base::ErrorCode::kMalformed:
      return EPROTO;
    case base::ErrorCode::kInternal:
      break;
  }
  return EIO;
}

tw_freshness in_c(board::Freshness freshness) {
  static_assert(static_cast<int>(board::Freshness::kLive) == TW_LIVE &&
                static_cast<int>(board::Freshness::kStale) == TW_STALE &&
                static_cast<int>(board::Freshness::kUnreadable) == TW_UNREADABLE &&
                static_cast<int>(board::Freshness::kAbsent) == TW_ABSENT);
  return static_cast<tw_freshness>(freshness);
}

base::Instant instant(std::int64_t ns) { return base::Instant(base::Nanoseconds(ns)); }

}  // namespace

int tw_board_attach(const char* path, tw_board** result) {
  *result = nullptr;
  last_error.clear();
  try {
    auto attachment = board::attach(path);
    if (attachment) {
      *result = new tw_board{std::move(*attachment)};
      return 0;
    }
    const base::Error& error = attachment.error();
    last_error = error.message() + (error.hint.empty() ? "" : "; " + error.hint);
    return -errno_of(error);
  } catch (const std::exception&) {  // memory is exhausted
    return -ENOMEM;
  }
}

const char* tw_board_error(void) { return last_error.c_str(); }

int tw_board_connection(const tw_board* self) { return self->attachment.connection.get(); }

tw_freshness tw_board_read(const tw_board* self, const tw_tuple* key, int64_t now_ns, uint32_t* slot,
                           tw_record* record) {
  const board::ParameterBlockReader& block = self->attachment.block;
  const auto known = block.read(board::Slot{*slot}, *key, instant(now_ns), *record);
  if (known != board::Freshness::kAbsent) return in_c(known);
  const auto found = block.find(*key);
  *slot = found ? static_cast<uint32_t>(found->index) : TW_NO_SLOT;
  return in_c(block.read(board::Slot{*slot}, *key, instant(now_ns), *record));
}

tw_freshness tw_board_read_host(const tw_board* self, int64_t now_ns, tw_record* record) {
  return in_c(self->attachment.block.host(instant(now_ns), *record));
}

void tw_board_detach(tw_board* self) { delete self; }
