/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameter block for programs in C. Link libtidewaiter; docs/design/board.md says what the values mean.
 *
 *   tw_board* board;
 *   if (tw_board_attach("/run/tidewaiter/agent.sock", &board) != 0) puts(tw_board_error());
 *   struct tw_record record = fallback;          // one per tuple, kept: its `stale` set holds until the first read
 *   uint32_t slot = TW_NO_SLOT;                  // likewise
 *   enum tw_freshness freshness = tw_board_read(board, &key, now_ns, &slot, &record);
 *   const struct tw_parameters* obey = tw_obeyed(freshness, &record);
 */
#pragma once

#include "board/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TW_NO_SLOT UINT32_MAX

typedef struct tw_board tw_board; /* NOLINT(modernize-use-using): also C */

/* What a read found. */
enum tw_freshness {
  TW_LIVE = 0,  /* the record is filled in */
  TW_STALE = 1, /* likewise, but the agent has not confirmed it in time, or has gone: attach anew from time to time */
  TW_UNREADABLE = 2, /* the record is left as it was: the writer is suspended or died in it */
  TW_ABSENT = 3      /* the record is left as it was: the tuple is not published */
};

/* Asks the agent at a socket; waits one second for it at most. 0, or a negative errno with *board NULL: -ENOENT,
 * -ECONNREFUSED, -EAGAIN (nobody serves it, or not now), -EACCES (a foreign agent), -EPROTO (another version),
 * -EINVAL, or what the kernel said. The socket is a sign that the agent lives; the block is readable without it. */
int tw_board_attach(const char* path, tw_board** board);

/* Why the calling thread's last tw_board_attach failed, and what to do about it; "" when it did not. */
const char* tw_board_error(void);

/* The connection to the agent, for poll(): it hangs up when the agent ends. Owned by the board. */
int tw_board_connection(const tw_board* board);

/* Reads one tuple at `now_ns` (CLOCK_MONOTONIC, as read before the call). *slot remembers where it was found, for one
 * tuple; start with TW_NO_SLOT. Nanoseconds, or a microsecond when the tuple has to be looked for. Any thread. */
enum tw_freshness tw_board_read(const tw_board* board, const struct tw_tuple* key, int64_t now_ns, uint32_t* slot,
                                struct tw_record* record);

/* Reads the host's record. Never TW_ABSENT. */
enum tw_freshness tw_board_read_host(const tw_board* board, int64_t now_ns, struct tw_record* record);

/* Nothing may read through the board afterwards. NULL is allowed. */
void tw_board_detach(tw_board* board);

/* The set of parameters that binds whoever read `record`. */
static inline const struct tw_parameters* tw_obeyed(enum tw_freshness freshness, const struct tw_record* record) {
  return freshness == TW_LIVE ? &record->enforced : &record->stale;
}

#ifdef __cplusplus
}
#endif
