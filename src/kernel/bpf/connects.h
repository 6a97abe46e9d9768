/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What every object that sees connects has in common: the maps, and what an attempt, its outcome and a retry are. How
 * they are learnt is the objects' own.
 *
 * Each attempt lives in `in_flight` from CLOSE → SYN_SENT to its outcome, keyed by its socket: the tuple is not
 * complete in every event, and the process is right in the first one alone. Totals are cumulative and never
 * read-and-deleted. They are plain hash maps with atomic adds and not per-CPU ones, because a softirq may interrupt a
 * program between the load and the store of an addition, and memory must not grow with the number of processors.
 *
 * TIDEWAITER_WITHOUT_PERFMON: nothing here needs CAP_PERFMON, or the types of the kernel (BTF).
 */
#pragma once

#include "kernel/bpf/kernel_types.h"
#include "kernel/wire/connect_wire.h"

#define NANOSECONDS_PER_SECOND 1000000000ULL
#define RETRY_WITHIN (5 * NANOSECONDS_PER_SECOND)
#define GAVE_UP_AFTER NANOSECONDS_PER_SECOND /* from here on an application's close is a time-out */
#define WAKE_APART 1000000ULL                /* at most one wake-up of the reader per millisecond */
#define WAKE_AT_BYTES (1 << 18)

/* Settings that the reader writes. */
volatile __u32 watched_netns = 0;  /* inode of the namespace; 0 = none */
volatile __u64 watched_cookie = 0; /* the same namespace, as the hooks of a cgroup know it */
volatile __u64 slow_ns = 50000000; /* a connect that took longer is an event */
volatile __u64 exits_since_ns = 0; /* calls that began from then on are looked at when connect() returns */
volatile __u64 canary_cookie = 0;  /* the reader's own socket while it connects; 0 = it does not */

/* One attempt until its outcome. */
struct attempt {
  __u64 began_ns;
  __u64 searched_ns; /* when a port was found, where a hook saw it; else 0 */
  struct tw_connect_key key;
  __u32 pid;
  __u16 port_before; /* ≠ 0: the socket had a port of its own; network order */
  __u8 is_port_probe;
  __u8 soft_error;
  char comm[TW_COMM_BYTES];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 32768);
  __type(key, __u64);
  __type(value, struct attempt);
} in_flight SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, struct tw_connect_key);
  __type(value, struct tw_connect_totals);
} connects SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, struct tw_retry_key);
  __type(value, struct tw_retry_credit);
} retry_credits SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, TW_LOST_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} lost SEC(".maps");

/* connect() calls that have not reached SYN_SENT, by thread: on their way, or failed. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8192);
  __type(key, __u64);
  __type(value, struct tw_entered_call);
} entered SEC(".maps");

#ifdef TIDEWAITER_WITHOUT_PERFMON
/* The verifier lets nobody without CAP_PERFMON choose a bucket inside an entry: each has an entry of its own. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct tw_duration_key);
  __type(value, __u64);
} durations SEC(".maps");
#endif

__u64 open_credits = 0; /* attempts may be retries while this is not 0: saves a look-up; the reader clears it */
static __u64 last_wake_ns;

/* New totals start from here; too large for the stack. Never written. */
static const struct tw_connect_totals zero_totals;
static const struct tw_connect_key other_key;

static __always_inline void add(__u64* counter, __u64 amount) { __sync_fetch_and_add(counter, amount); }

static __always_inline void count_lost(__u32 where) {
  __u64* counter = bpf_map_lookup_elem(&lost, &where);
  if (counter) add(counter, 1);
}

/* The bucket of a duration, as connect_wire.h defines it: a constant number of steps, no loop. */
static __always_inline __u32 bucket_of(__u64 ns) {
  __u32 power = 0;
  __u64 rest = ns;
  if (ns < (1ULL << TW_LATENCY_FIRST_POWER)) return 0;
  if (ns >= (1ULL << (TW_LATENCY_LAST_POWER + 1))) return TW_LATENCY_BUCKETS - 1;
  if (rest >> 32) {
    power += 32;
    rest >>= 32;
  }
  if (rest >> 16) {
    power += 16;
    rest >>= 16;
  }
  if (rest >> 8) {
    power += 8;
    rest >>= 8;
  }
  if (rest >> 4) {
    power += 4;
    rest >>= 4;
  }
  if (rest >> 2) {
    power += 2;
    rest >>= 2;
  }
  if (rest >> 1) power += 1;
  return 8 * (power - TW_LATENCY_FIRST_POWER) + 1 + ((ns >> (power - 3)) & 7);
}

#ifdef TIDEWAITER_WITHOUT_PERFMON
static __always_inline void count_duration(const struct attempt* attempt, struct tw_connect_totals* totals, __u32 what,
                                           __u64 ns) {
  static const __u64 none;
  struct tw_duration_key key;
  __u64* count;
  __builtin_memset(&key, 0, sizeof key);
  key.connect = attempt->key;
  key.what = what;
  key.bucket = bucket_of(ns);
  count = bpf_map_lookup_elem(&durations, &key);
  if (!count) {
    bpf_map_update_elem(&durations, &key, &none, BPF_NOEXIST);
    count = bpf_map_lookup_elem(&durations, &key);
    if (!count) return count_lost(TW_LOST_DURATIONS);
  }
  add(count, 1);
}
#else
static __always_inline void count_duration(const struct attempt* attempt, struct tw_connect_totals* totals, __u32 what,
                                           __u64 ns) {
  __u32* buckets = what == TW_DURATION_CONNECT   ? totals->connect
                   : what == TW_DURATION_GAVE_UP ? totals->gave_up
                                                 : totals->search;
  const __u32 bucket = bucket_of(ns);
  if (bucket < TW_LATENCY_BUCKETS) __sync_fetch_and_add(&buckets[bucket], 1);
}
#endif

static __always_inline void map_v4(__u8* address, __be32 v4) {
  __builtin_memset(address, 0, 10);
  address[10] = address[11] = 0xff;
  __builtin_memcpy(address + 12, &v4, 4);
}

/* The reader's own connects are nobody's: they have a key to themselves. */
static __always_inline void set_canary_apart(struct tw_connect_key* key, __u64 cookie) {
  if (!cookie || cookie != canary_cookie) return;
  __builtin_memset(key, 0, sizeof *key);
  key->port = TW_CANARY_PORT;
}

static __always_inline bool is_canary(const struct tw_connect_key* key) { return key->netns == 0; }

static __always_inline struct tw_connect_totals* totals_of(const struct tw_connect_key* key) {
  struct tw_connect_totals* totals = bpf_map_lookup_elem(&connects, key);
  if (totals) return totals;
  bpf_map_update_elem(&connects, key, &zero_totals, BPF_NOEXIST);
  totals = bpf_map_lookup_elem(&connects, key);
  if (totals) return totals;
  count_lost(TW_LOST_TUPLES);
  return bpf_map_lookup_elem(&connects, &other_key);
}

/* True when this attempt answers an earlier failure of its process. */
static __always_inline bool is_retry(const struct attempt* attempt) {
  struct tw_retry_key key;
  struct tw_retry_credit* credit;
  __u64 credits;
  if (*(volatile __u64*)&open_credits == 0) return false;
  __builtin_memset(&key, 0, sizeof key);
  key.connect = attempt->key;
  key.pid = attempt->pid;
  credit = bpf_map_lookup_elem(&retry_credits, &key);
  if (!credit || (__s64)(attempt->began_ns - credit->last_failure_ns) > (__s64)RETRY_WITHIN) return false;
  credits = *(volatile __u64*)&credit->credits;
  if (credits == 0) return false;
  /* Lost against another attempt of the process: that one took the credit. */
  return __sync_val_compare_and_swap(&credit->credits, credits, credits - 1) == credits;
}

static __always_inline void give_credit(const struct attempt* attempt, __u64 now) {
  static const struct tw_retry_credit none;
  struct tw_retry_key key;
  struct tw_retry_credit* credit;
  __builtin_memset(&key, 0, sizeof key);
  key.connect = attempt->key;
  key.pid = attempt->pid;
  credit = bpf_map_lookup_elem(&retry_credits, &key);
  if (!credit) {
    bpf_map_update_elem(&retry_credits, &key, &none, BPF_NOEXIST);
    credit = bpf_map_lookup_elem(&retry_credits, &key);
    if (!credit) return count_lost(TW_LOST_RETRY_MEMORY);
  }
  if (now - credit->last_failure_ns > RETRY_WITHIN) credit->credits = 0;
  credit->last_failure_ns = now;
  add(&credit->credits, 1);
  if (*(volatile __u64*)&open_credits == 0) *(volatile __u64*)&open_credits = 1;
}

static __always_inline bool is_local_cause(__u32 cause) {
  return cause == TW_CAUSE_ADDR_NOT_AVAILABLE || cause == TW_CAUSE_ADDR_IN_USE || cause == TW_CAUSE_RESOURCES;
}

/* Failures of this host wake the reader, a millisecond apart; everything else waits for its timer, or for a quarter of
 * the ring. */
static __always_inline __u64 wake_flag(bool is_urgent, __u64 now) {
  if (is_urgent && now - *(volatile __u64*)&last_wake_ns > WAKE_APART) {
    *(volatile __u64*)&last_wake_ns = now;
    return BPF_RB_FORCE_WAKEUP;
  }
  return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= WAKE_AT_BYTES ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void emit(const struct attempt* attempt, __u8 kind, __u8 cause, __u64 now, __u32 retransmits) {
  struct tw_connect_event* event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
  if (!event) return count_lost(TW_LOST_RING);
  event->at_ns = now;
  event->elapsed_ns = now - attempt->began_ns;
  event->key = attempt->key;
  event->pid = attempt->pid;
  event->kind = kind;
  event->cause = cause;
  event->syn_retransmits = retransmits > 0xffff ? 0xffff : retransmits;
  __builtin_memcpy(event->comm, attempt->comm, sizeof event->comm);
  bpf_ringbuf_submit(event, wake_flag(kind == TW_EVENT_FAILED && is_local_cause(cause), now));
}

/* The thread's connect() got as far as SYN_SENT. */
static __always_inline void forget_entered(void) {
  __u64 thread = bpf_get_current_pid_tgid();
  bpf_map_delete_elem(&entered, &thread);
}

#ifdef TIDEWAITER_WITHOUT_PERFMON
/* A counter at a constant place, which no optimisation makes a computed one: that the verifier refuses. */
#define COUNT_CAUSE(totals, what)                 \
  case what: {                                    \
    __u64* counter = &(totals)->ended[what];      \
    asm volatile("" : "+r"(counter) : "i"(what)); \
    add(counter, 1);                              \
    return;                                       \
  }
static __always_inline void count_cause(struct tw_connect_totals* totals, __u32 cause) {
  switch (cause) {
    COUNT_CAUSE(totals, TW_CAUSE_TIMEOUT)
    COUNT_CAUSE(totals, TW_CAUSE_ADDR_NOT_AVAILABLE)
    COUNT_CAUSE(totals, TW_CAUSE_REFUSED)
    COUNT_CAUSE(totals, TW_CAUSE_RESOURCES)
    COUNT_CAUSE(totals, TW_CAUSE_ABORTED)
    default:
      add(&totals->ended[TW_CAUSE_OTHER], 1);
  }
}
#else
static __always_inline void count_cause(struct tw_connect_totals* totals, __u32 cause) {
  if (cause < TW_CONNECT_CAUSES) add(&totals->ended[cause], 1);
}
#endif

/* Who attempts it; its name takes CAP_PERFMON. In the context of the process. */
static __always_inline void fill_process(struct attempt* attempt) {
  attempt->pid = bpf_get_current_pid_tgid() >> 32;
#ifndef TIDEWAITER_WITHOUT_PERFMON
  bpf_get_current_comm(attempt->comm, sizeof attempt->comm);
#endif
}

/* A socket has reached SYN_SENT, in the context of its process, and all but the process is filled in. False: an attempt
 * of the same socket is in the way, whose end was missed. */
static __always_inline bool begin(__u64 socket, struct attempt* attempt) {
  struct tw_connect_totals* totals;
  fill_process(attempt);
  forget_entered();
  totals = totals_of(&attempt->key);
  if (!totals) return true;
  add(&totals->syn_sent, 1);
  if (!attempt->is_port_probe) {
    add(&totals->attempts, 1);
    if (is_retry(attempt)) {
      add(&totals->retries, 1);
      emit(attempt, TW_EVENT_RETRY, 0, attempt->began_ns, 0);
    }
  }
  return !bpf_map_update_elem(&in_flight, &socket, attempt, BPF_NOEXIST);
}

/* Once what was in the way has been concluded; or there was nothing, and the map is full. */
static __always_inline void begin_anew(__u64 socket, const struct attempt* attempt) {
  if (bpf_map_update_elem(&in_flight, &socket, attempt, BPF_ANY)) count_lost(TW_LOST_IN_FLIGHT);
}

static __always_inline void count_search(const struct attempt* attempt, struct tw_connect_totals* totals,
                                         __u64 ended_ns) {
  if (ended_ns < attempt->began_ns) return; /* 0: not known */
  add(&totals->search_ns, ended_ns - attempt->began_ns);
  count_duration(attempt, totals, TW_DURATION_SEARCH, ended_ns - attempt->began_ns);
}

/* How an attempt ended. */
struct outcome {
  __u64 at_ns;
  __u64 searched_ns; /* when the search for a port ended; 0: not known */
  __u32 retransmits;
  __u32 cause; /* failures */
};

static __always_inline void count_established(const struct attempt* attempt, struct tw_connect_totals* totals,
                                              const struct outcome* outcome) {
  const __u64 elapsed = outcome->at_ns - attempt->began_ns;
  if (attempt->is_port_probe) add(&totals->attempts, 1);
  add(&totals->established, 1);
  add(&totals->connect_ns, elapsed);
  count_duration(attempt, totals, TW_DURATION_CONNECT, elapsed);
  count_search(attempt, totals, outcome->searched_ns);
  if (elapsed >= slow_ns) emit(attempt, TW_EVENT_SLOW, 0, outcome->at_ns, outcome->retransmits);
}

static __always_inline void count_failed(const struct attempt* attempt, struct tw_connect_totals* totals,
                                         const struct outcome* outcome) {
  const __u32 cause = outcome->cause;
  if (attempt->is_port_probe && cause == TW_CAUSE_ADDR_NOT_AVAILABLE) {
    add(&totals->port_probes, 1);
    return;
  }
  if (attempt->is_port_probe) add(&totals->attempts, 1);
  count_cause(totals, cause);
  count_duration(attempt, totals, TW_DURATION_GAVE_UP, outcome->at_ns - attempt->began_ns);
  if (cause != TW_CAUSE_ADDR_NOT_AVAILABLE) {
    count_search(attempt, totals, outcome->searched_ns);
  } else if (attempt->port_before) {
    add(&totals->collisions, 1);
  } else {
    count_search(attempt, totals, outcome->at_ns);
  }
  if (cause == TW_CAUSE_ABORTED || is_canary(&attempt->key)) return;
  give_credit(attempt, outcome->at_ns);
  emit(attempt, TW_EVENT_FAILED, cause, outcome->at_ns, outcome->retransmits);
}
