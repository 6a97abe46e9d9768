/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the programs of connects.bpf.c and the room share, byte by byte; for C11 (BPF) and C++20. Times are nanoseconds
 * of CLOCK_MONOTONIC, addresses in network order with IPv4 as v4-mapped, ports in host order.
 */
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
#define TW_WIRE_ASSERT(holds, text) static_assert(holds, text)
#else
#define TW_WIRE_ASSERT(holds, text) _Static_assert(holds, text)
#endif
#define TW_WIRE_OFFSET(type, field, bytes) TW_WIRE_ASSERT(__builtin_offsetof(struct type, field) == (bytes), #field)
#define TW_WIRE_SIZE(type, bytes) TW_WIRE_ASSERT(sizeof(struct type) == (bytes), #type)

#define TW_CONNECT_CAUSES 10
#define TW_COMM_BYTES 16

/* How an attempt ended, if not established; the order is telemetry::ConnectCause's. */
enum tw_connect_cause {
  TW_CAUSE_TIMEOUT = 0,
  TW_CAUSE_ADDR_NOT_AVAILABLE = 1,
  TW_CAUSE_ADDR_IN_USE = 2,
  TW_CAUSE_REFUSED = 3,
  TW_CAUSE_RESET = 4,
  TW_CAUSE_UNREACHABLE = 5,
  TW_CAUSE_DENIED = 6,
  TW_CAUSE_RESOURCES = 7,
  TW_CAUSE_ABORTED = 8,
  TW_CAUSE_OTHER = 9
};

/*
 * Durations are counted in log-linear buckets, eight a power of two: bucket 0 is below 256 ns, then 8 · (p − 8) + 1 + s
 * for [2^p + s · 2^(p−3), …), p from 8 to 37; the last one is 2^38 ns (275 s) and more.
 */
#define TW_LATENCY_FIRST_POWER 8
#define TW_LATENCY_LAST_POWER 37
#define TW_LATENCY_BUCKETS (8 * (TW_LATENCY_LAST_POWER - TW_LATENCY_FIRST_POWER + 1) + 2)

/* Where a connect goes. All zero: every tuple that found no room. Zero but for a port: the reader's own connects, of
 * any destination. Source zero: no source address was chosen. */
struct tw_connect_key {
  __u8 source[16];
  __u8 destination[16];
  __u32 netns; /* inode number */
  __u16 port;
  __u16 reserved; /* 0 */
};
TW_WIRE_OFFSET(tw_connect_key, destination, 16);
TW_WIRE_OFFSET(tw_connect_key, netns, 32);
TW_WIRE_OFFSET(tw_connect_key, port, 36);
TW_WIRE_SIZE(tw_connect_key, 40);

#define TW_CANARY_PORT 1 /* in the key of the reader's own connects */

/* What became of the connects of a key, cumulative. Histograms count modulo 2^32. */
struct tw_connect_totals {
  __u64 syn_sent; /* CLOSE → SYN_SENT, one-port probes included */
  __u64 attempts; /* logical connects */
  __u64 established;
  __u64 ended[TW_CONNECT_CAUSES];
  __u64 port_probes;                 /* a socket with a one-port range found its port taken: no attempt */
  __u64 collisions;                  /* of addr_not_available: the socket had a port of its own */
  __u64 syn_retransmits;             /* of clients */
  __u64 retries;                     /* attempts of a process that had a failure here within 5 s */
  __u64 inferred;                    /* outcomes that were told from what was left of the socket */
  __u64 failed_early;                /* ended before SYN_SENT, not denied; key without source. No attempts yet */
  __u64 unreachable_early;           /* of those: with ENETUNREACH, EHOSTUNREACH */
  __u64 prohibited_early;            /* likewise with EACCES, EINVAL: the route forbids it */
  __u64 denied_early;                /* likewise with EPERM: a program or a filter does */
  __u64 connect_ns;                  /* sum over the established */
  __u64 search_ns;                   /* sum of port-search times, failed searches included */
  __u32 connect[TW_LATENCY_BUCKETS]; /* start to established */
  __u32 gave_up[TW_LATENCY_BUCKETS]; /* start to failure: censored; aborted ones too */
  __u32 search[TW_LATENCY_BUCKETS];  /* start to SYN handed down, or to EADDRNOTAVAIL */
};
TW_WIRE_OFFSET(tw_connect_totals, ended, 24);
TW_WIRE_OFFSET(tw_connect_totals, port_probes, 104);
TW_WIRE_OFFSET(tw_connect_totals, connect, 192);
TW_WIRE_SIZE(tw_connect_totals, 192 + 3 * 4 * TW_LATENCY_BUCKETS);

/* The three histograms, where each bucket is an entry of a map by itself: a count of 64 bits. */
enum tw_duration { TW_DURATION_CONNECT = 0, TW_DURATION_GAVE_UP = 1, TW_DURATION_SEARCH = 2 };

struct tw_duration_key {
  struct tw_connect_key connect;
  __u32 what; /* enum tw_duration */
  __u32 bucket;
};
TW_WIRE_OFFSET(tw_duration_key, what, 40);
TW_WIRE_SIZE(tw_duration_key, 48);

enum tw_connect_event_kind { TW_EVENT_FAILED = 1, TW_EVENT_SLOW = 2, TW_EVENT_RETRY = 3 };

/* One event of the ring: a failure, a slow connect, or a retry that begins. */
struct tw_connect_event {
  __u64 at_ns;      /* of the outcome; of the start for a retry */
  __u64 elapsed_ns; /* since the start */
  struct tw_connect_key key;
  __u32 pid;
  __u8 kind;  /* enum tw_connect_event_kind */
  __u8 cause; /* enum tw_connect_cause; failures only */
  __u16 syn_retransmits;
  char comm[TW_COMM_BYTES];
};
TW_WIRE_OFFSET(tw_connect_event, key, 16);
TW_WIRE_OFFSET(tw_connect_event, pid, 56);
TW_WIRE_OFFSET(tw_connect_event, kind, 60);
TW_WIRE_OFFSET(tw_connect_event, comm, 64);
TW_WIRE_SIZE(tw_connect_event, 80);

struct tw_listener_key {
  __u8 address[16];
  __u32 netns;
  __u16 port;
  __u16 reserved; /* 0 */
};
TW_WIRE_SIZE(tw_listener_key, 24);

struct tw_listener_totals {
  __u64 synack_retransmits;
  __u64 dropped_final_acks; /* the accept queue was full */
};
TW_WIRE_SIZE(tw_listener_totals, 16);

/* What was lost, and where; indices of the map `lost`. */
enum tw_lost {
  TW_LOST_RING = 0,         /* events that found the ring full */
  TW_LOST_IN_FLIGHT = 1,    /* attempts that found no room among those in flight: counted as attempts, end unknown */
  TW_LOST_TUPLES = 2,       /* connects counted under "other" because the table of tuples was full */
  TW_LOST_RETRY_MEMORY = 3, /* failures whose retries cannot be recognised */
  TW_LOST_LISTENERS = 4,
  TW_LOST_ENTERED = 5,   /* calls that found no room: not known should they fail before SYN_SENT */
  TW_LOST_DURATIONS = 6, /* durations that are in no histogram: their table was full */
  TW_LOST_COUNTERS = 7   /* number of the above */
};

/* A connect() between the connect hook and SYN_SENT, by thread. It stays when it failed, until the thread's next one.
 */
struct tw_entered_call {
  __u64 began_ns;
  struct tw_connect_key key; /* without source */
};
TW_WIRE_SIZE(tw_entered_call, 48);

/* A process's failed connects to one destination, for its retries. */
struct tw_retry_key {
  struct tw_connect_key connect;
  __u32 pid;
  __u32 reserved; /* 0 */
};
TW_WIRE_SIZE(tw_retry_key, 48);

struct tw_retry_credit {
  __u64 last_failure_ns;
  __u64 credits; /* failures that no attempt has been attributed to */
};
TW_WIRE_SIZE(tw_retry_credit, 16);
