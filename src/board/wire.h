// SPDX-License-Identifier: Apache-2.0
/*
 * What processes share, byte by byte; for C11 and C++20. docs/design/board.md has the reasons.
 *
 * Structs describe the layout. The shared memory itself is only ever read and written as aligned 64-bit words with
 * atomic instructions, and a slot's words only under its sequence: use ParameterBlockReader or reader_c.h.
 * Times are nanoseconds of CLOCK_MONOTONIC. A double that is NaN is absent; each field says what absence means.
 */
#pragma once

#include <stdint.h>  // NOLINT(modernize-deprecated-headers): also C

#ifdef __cplusplus
#define TW_STATIC_ASSERT(holds, text) static_assert(holds, text)
#define TW_LINE_ALIGNED alignas(64)
#else
#define TW_STATIC_ASSERT(holds, text) _Static_assert(holds, text)
#define TW_LINE_ALIGNED _Alignas(64)
#endif
#define TW_OFFSET(type, field, bytes) TW_STATIC_ASSERT(__builtin_offsetof(struct type, field) == (bytes), #field)
#define TW_SIZE(type, bytes) TW_STATIC_ASSERT(sizeof(struct type) == (bytes), #type)

#define TW_BLOCK_MAGIC UINT64_C(0x314b434f4c425754) /* "TWBLOCK1" */
#define TW_BLOCK_VERSION UINT32_C(1)                /* changes only when an older reader would read nonsense */
#define TW_BLOCK_TUPLES 256
#define TW_HELLO_MAGIC UINT64_C(0x314f4c4c45485754) /* "TWHELLO1" */
#define TW_HELLO_VERSION UINT32_C(1)
#define TW_HELLO_DESCRIPTORS 8

/* Values of the one-byte fields. A reader refuses records with others. */
enum tw_state { TW_GREEN = 0, TW_YELLOW = 1, TW_ORANGE = 2, TW_RED = 3 };
enum tw_mode { TW_MODE_OFF = 0, TW_MODE_SHADOW = 1, TW_MODE_ENFORCE = 2 };
enum tw_pool_reuse { TW_POOL_PREFER = 0, TW_POOL_KEEP_ALIVE = 1, TW_POOL_WARM_PREFERRED = 2, TW_POOL_WARM_ONLY = 3 };
enum tw_optional_reconnects {
  TW_RECONNECTS_YES = 0,
  TW_RECONNECTS_PACED = 1,
  TW_RECONNECTS_PAUSED = 2,
  TW_RECONNECTS_FROZEN = 3
};
enum tw_non_urgent_flow { TW_FLOW_SEND = 0, TW_FLOW_SEND_CAPPED = 1, TW_FLOW_CONTAINED = 2 };
enum tw_urgency_override { TW_URGENCY_FREE = 0, TW_URGENCY_LOGGED = 1, TW_URGENCY_APPROVAL = 2 };

/* Where connections go. All zero: no tuple (the host's record, a free slot). */
struct tw_tuple {
  uint8_t source[16];      /* network order, IPv4 as v4-mapped */
  uint8_t destination[16]; /* likewise */
  uint64_t netns_hash;     /* tw_netns_hash() of the label of the network namespace */
  uint16_t port;           /* destination port, host byte order */
  uint8_t reserved[6];     /* 0 */
};
TW_OFFSET(tw_tuple, source, 0);
TW_OFFSET(tw_tuple, destination, 16);
TW_OFFSET(tw_tuple, netns_hash, 32);
TW_OFFSET(tw_tuple, port, 40);
TW_OFFSET(tw_tuple, reserved, 42);
TW_SIZE(tw_tuple, 48);

/* One set of execution parameters. */
struct tw_parameters {
  double clip_scale;             /* share of the child's size */
  double catch_up_cap;           /* multiple of the scheduled rate; NaN: legacy */
  double retry_rate_per_s;       /* per destination; NaN: legacy, then retry_burst means nothing */
  double connect_rate_per_s;     /* per destination; NaN: no limit */
  uint32_t launch_jitter_max_ms; /* full jitter */
  uint32_t retry_burst;          /* tokens */
  uint32_t max_new_connects;     /* in flight per destination */
  uint8_t pool_reuse;            /* enum tw_pool_reuse */
  uint8_t optional_reconnects;   /* enum tw_optional_reconnects */
  uint8_t non_urgent_flow;       /* enum tw_non_urgent_flow */
  uint8_t urgency_override;      /* enum tw_urgency_override */
};
TW_OFFSET(tw_parameters, clip_scale, 0);
TW_OFFSET(tw_parameters, catch_up_cap, 8);
TW_OFFSET(tw_parameters, retry_rate_per_s, 16);
TW_OFFSET(tw_parameters, connect_rate_per_s, 24);
TW_OFFSET(tw_parameters, launch_jitter_max_ms, 32);
TW_OFFSET(tw_parameters, retry_burst, 36);
TW_OFFSET(tw_parameters, max_new_connects, 40);
TW_OFFSET(tw_parameters, pool_reuse, 44);
TW_OFFSET(tw_parameters, optional_reconnects, 45);
TW_OFFSET(tw_parameters, non_urgent_flow, 46);
TW_OFFSET(tw_parameters, urgency_override, 47);
TW_SIZE(tw_parameters, 48);

/* What is published about one tuple, or the host. */
struct tw_record {
  struct tw_tuple key;
  int64_t since_ns;              /* when the state began */
  double p_stress;               /* NaN: unknown */
  uint8_t state;                 /* enum tw_state */
  uint8_t peer_fault;            /* 0 or 1 */
  uint8_t connection_mode;       /* enum tw_mode, of the group retry, connect, pool, reconnects */
  uint8_t order_mode;            /* enum tw_mode, of the group clip, jitter, catch-up, containment, urgency */
  uint8_t reserved[4];           /* 0 */
  struct tw_parameters live;     /* detected: what the state prescribes */
  struct tw_parameters enforced; /* to be obeyed while the block is live; the modes are worked in */
  struct tw_parameters stale;    /* to be obeyed once it is not; likewise */
};
TW_OFFSET(tw_record, key, 0);
TW_OFFSET(tw_record, since_ns, 48);
TW_OFFSET(tw_record, p_stress, 56);
TW_OFFSET(tw_record, state, 64);
TW_OFFSET(tw_record, peer_fault, 65);
TW_OFFSET(tw_record, connection_mode, 66);
TW_OFFSET(tw_record, order_mode, 67);
TW_OFFSET(tw_record, reserved, 68);
TW_OFFSET(tw_record, live, 72);
TW_OFFSET(tw_record, enforced, 120);
TW_OFFSET(tw_record, stale, 168);
TW_SIZE(tw_record, 216);

/* A record and its sequence: odd while the writer is at work in it. Four cache lines, shared with no other slot. */
struct tw_slot {
  TW_LINE_ALIGNED uint64_t sequence;
  struct tw_record record;
  uint8_t reserved[32]; /* 0 */
};
TW_OFFSET(tw_slot, sequence, 0);
TW_OFFSET(tw_slot, record, 8);
TW_OFFSET(tw_slot, reserved, 224);
TW_SIZE(tw_slot, 256);

/* The first line is written once, before anybody sees it; the second at each publication, word by word. */
struct tw_header {
  TW_LINE_ALIGNED uint64_t magic;
  uint32_t version;
  uint32_t capacity;    /* tuple slots */
  uint32_t block_size;  /* bytes */
  uint32_t record_size; /* bytes of a slot */
  uint32_t writer_pid;  /* in the writer's pid namespace */
  uint32_t reserved0;
  int64_t interval_ns; /* between two publications */
  uint8_t reserved1[24];
  int64_t heartbeat_ns; /* of the last publication */
  int64_t expiry_ns;    /* from here on everything is stale; written last */
  uint64_t publication; /* 1, 2, 3 … */
  uint64_t omitted;     /* tuples that had no room in the last publication */
  uint8_t reserved2[160];
};
TW_OFFSET(tw_header, magic, 0);
TW_OFFSET(tw_header, version, 8);
TW_OFFSET(tw_header, capacity, 12);
TW_OFFSET(tw_header, block_size, 16);
TW_OFFSET(tw_header, record_size, 20);
TW_OFFSET(tw_header, writer_pid, 24);
TW_OFFSET(tw_header, interval_ns, 32);
TW_OFFSET(tw_header, heartbeat_ns, 64);
TW_OFFSET(tw_header, expiry_ns, 72);
TW_OFFSET(tw_header, publication, 80);
TW_OFFSET(tw_header, omitted, 88);
TW_SIZE(tw_header, 256);

/* The parameter block. */
struct tw_block {
  struct tw_header header;
  struct tw_slot host;
  struct tw_slot tuples[TW_BLOCK_TUPLES];
};
TW_OFFSET(tw_block, host, 256);
TW_OFFSET(tw_block, tuples, 512);
TW_SIZE(tw_block, 66048);

/* What a descriptor that comes with a hello leads to. Readers close those that they do not know. */
enum tw_descriptor_kind { TW_DESCRIPTOR_NONE = 0, TW_DESCRIPTOR_PARAMETER_BLOCK = 1 };

/* The agent's one message to each client. Later ones may be longer and bring more descriptors. */
struct tw_hello {
  uint64_t magic;
  uint32_t version; /* changes only when an older client would be misled */
  uint32_t size;    /* bytes of this message */
  int64_t interval_ns;
  uint64_t time_namespace;                        /* inode of the agent's; 0: its kernel has none */
  char boot_id[40];                               /* text, zero-terminated */
  uint8_t descriptor_kinds[TW_HELLO_DESCRIPTORS]; /* enum tw_descriptor_kind, in the order of SCM_RIGHTS */
};
TW_OFFSET(tw_hello, magic, 0);
TW_OFFSET(tw_hello, version, 8);
TW_OFFSET(tw_hello, size, 12);
TW_OFFSET(tw_hello, interval_ns, 16);
TW_OFFSET(tw_hello, time_namespace, 24);
TW_OFFSET(tw_hello, boot_id, 32);
TW_OFFSET(tw_hello, descriptor_kinds, 72);
TW_SIZE(tw_hello, 80);

/* FNV-1a of the zero-terminated label of a network namespace ("self", or its name). */
static inline uint64_t tw_netns_hash(const char* label) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (; *label != '\0'; ++label) hash = (hash ^ ((unsigned)*label & 0xff)) * UINT64_C(0x100000001b3);
  return hash;
}
