/* SPDX-License-Identifier: Apache-2.0 */
/* A client in C, for reader_c_test.cpp: the header compiles as C11 and a record can be read with it. */
#include <stddef.h>

#include "board/reader_c.h"

int read_in_c(const char* path, const struct tw_tuple* key, int64_t now_ns, struct tw_record* record,
              const struct tw_parameters** obeyed);

/* The freshness, or a negative errno. */
int read_in_c(const char* path, const struct tw_tuple* key, int64_t now_ns, struct tw_record* record,
              const struct tw_parameters** obeyed) {
  tw_board* board = NULL;
  uint32_t slot = TW_NO_SLOT;
  const int failed = tw_board_attach(path, &board);
  if (failed != 0) return failed;
  enum tw_freshness freshness = tw_board_read(board, key, now_ns, &slot, record);
  if (freshness == TW_LIVE && slot == TW_NO_SLOT) freshness = TW_ABSENT;
  *obeyed = tw_obeyed(freshness, record);
  tw_board_detach(board);
  return (int)freshness;
}
