// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Every TCP connect of one network namespace: attempts, outcomes by cause, port-search and handshake times, retries.
 *
 * Each attempt lives in `in_flight` from CLOSE → SYN_SENT to its outcome, keyed by its socket: the tuple is not
 * complete in every event, and the process is right in the first one alone. Totals are cumulative and never
 * read-and-deleted. They are plain hash maps with atomic adds and not per-CPU ones, because a softirq may interrupt a
 * program between the load and the store of an addition, and memory must not grow with the number of processors.
 *
 * Built twice: with BTF-typed tracepoints (Linux 5.5), and for older kernels with raw ones
 * (TIDEWAITER_RAW_TRACEPOINTS).
 */
#include "kernel/bpf/kernel_types.h"
#include "kernel/wire/connect_wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#ifdef TIDEWAITER_RAW_TRACEPOINTS
#define HOOK(name) SEC("raw_tp/" name)
#define READ(object, ...) BPF_CORE_READ(object, __VA_ARGS__)
#define TCP_SOCK(sk) ((const struct tcp_sock*)(sk))
#else
#define HOOK(name) SEC("tp_btf/" name)
#define TCP_SOCK(sk) ((const struct tcp_sock*)bpf_skc_to_tcp_sock((void*)(sk)))
#define READ_1(object, a) ((object)->a)
#define READ_2(object, a, b) ((object)->a->b)
#define READ_3(object, a, b, c) ((object)->a->b->c)
#define READ_N(object, a, b, c, name, ...) name
#define READ(object, ...) READ_N(object, __VA_ARGS__, READ_3, READ_2, READ_1)(object, __VA_ARGS__)
#endif

#define NANOSECONDS_PER_SECOND 1000000000ULL
#define RETRY_WITHIN (5 * NANOSECONDS_PER_SECOND)
#define GAVE_UP_AFTER NANOSECONDS_PER_SECOND /* from here on an application's close is a time-out */
#define WAKE_APART 1000000ULL                /* at most one wake-up of the reader per millisecond */
#define WAKE_AT_BYTES (1 << 18)

/* Settings that the reader writes. */
volatile __u32 watched_netns = 0;  /* inode of the namespace; 0 = none */
volatile __u64 watched_cookie = 0; /* the same namespace, as the connect hook knows it */
volatile __u64 slow_ns = 50000000; /* a connect that took longer is an event */

/* One attempt until its outcome. */
struct attempt {
  __u64 began_ns;
  struct tw_connect_key key;
  __u32 pid;
  __u16 port_before; /* network order; ≠ 0: the socket had a port of its own */
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
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, struct tw_listener_key);
  __type(value, struct tw_listener_totals);
} listeners SEC(".maps");

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

static __always_inline void count_duration(__u32* buckets, __u64 ns) {
  const __u32 bucket = bucket_of(ns);
  if (bucket < TW_LATENCY_BUCKETS) __sync_fetch_and_add(&buckets[bucket], 1);
}

static __always_inline void map_v4(__u8* address, __be32 v4) {
  __builtin_memset(address, 0, 10);
  address[10] = address[11] = 0xff;
  __builtin_memcpy(address + 12, &v4, 4);
}

static __always_inline bool is_watched(const struct sock* sk) {
  return READ(sk, __sk_common.skc_net.net, ns.inum) == watched_netns;
}

static __always_inline void copy_v6(__u8* address, const struct in6_addr* v6) {
  bpf_probe_read_kernel(address, 16, v6);
}

/* Both ends of a socket. Its own port is not part of the key. */
static __always_inline void fill_key(struct tw_connect_key* key, const struct sock* sk) {
  __builtin_memset(key, 0, sizeof *key);
  key->netns = watched_netns;
  key->port = bpf_ntohs(READ(sk, __sk_common.skc_dport));
  if (READ(sk, __sk_common.skc_family) == kFamilyV6) {
    copy_v6(key->source, &sk->__sk_common.skc_v6_rcv_saddr);
    copy_v6(key->destination, &sk->__sk_common.skc_v6_daddr);
  } else {
    map_v4(key->source, READ(sk, __sk_common.skc_rcv_saddr));
    map_v4(key->destination, READ(sk, __sk_common.skc_daddr));
  }
}

static __always_inline struct tw_connect_totals* totals_of(const struct tw_connect_key* key) {
  struct tw_connect_totals* totals = bpf_map_lookup_elem(&connects, key);
  if (totals) return totals;
  bpf_map_update_elem(&connects, key, &zero_totals, BPF_NOEXIST);
  totals = bpf_map_lookup_elem(&connects, key);
  if (totals) return totals;
  count_lost(TW_LOST_TUPLES);
  return bpf_map_lookup_elem(&connects, &other_key);
}

/* IP_LOCAL_PORT_RANGE of one port. */
static __always_inline bool has_one_port_range(const struct sock* sk) {
  if (bpf_core_field_exists(struct inet_sock___range_pair, local_port_range.lo)) {
    const struct inet_sock___range_pair* inet = (const void*)sk;
    const __u16 lo = BPF_CORE_READ(inet, local_port_range.lo);
    return lo != 0 && lo == BPF_CORE_READ(inet, local_port_range.hi);
  }
  if (bpf_core_field_exists(struct inet_sock___range_word, local_port_range)) {
    const __u32 range = BPF_CORE_READ((const struct inet_sock___range_word*)sk, local_port_range);
    return range != 0 && (range >> 16) == (range & 0xffff);
  }
  return false;
}

/* TCP_FASTOPEN_CONNECT: connected by name alone, nothing was sent yet. */
static __always_inline bool is_deferred(const struct sock* sk) {
  if (bpf_core_field_exists(struct inet_sock, inet_flags)) {
    return BPF_CORE_READ((const struct inet_sock*)sk, inet_flags) >> kDeferConnectBit & 1;
  }
  if (bpf_core_field_exists(struct inet_sock___defer, defer_connect)) {
    return BPF_CORE_READ_BITFIELD_PROBED((const struct inet_sock___defer*)sk, defer_connect);
  }
  return false;
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
  if (!credit || attempt->began_ns - credit->last_failure_ns > RETRY_WITHIN) return false;
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

static __always_inline __u32 cause_of_errno(int error) {
  switch (error) {
    case kRefused:
      return TW_CAUSE_REFUSED;
    case kTimedOut:
      return TW_CAUSE_TIMEOUT;
    case kConnectionReset:
    case kConnectionAborted:
      return TW_CAUSE_RESET;
    case kNetworkUnreachable:
    case kHostUnreachable:
    case kHostDown:
    case kAccess:
      return TW_CAUSE_UNREACHABLE;
    case kAddressInUse:
      return TW_CAUSE_ADDR_IN_USE;
    case kNoMemory:
    case kNoBuffers:
    case kTryAgain:
      return TW_CAUSE_RESOURCES;
    case kPermission:
      return TW_CAUSE_DENIED;
    default:
      return TW_CAUSE_OTHER;
  }
}

/* Also after a reset or disconnect, which leaves of a handshake the time of its last ACK alone. */
static __always_inline bool was_established(const struct tcp_sock* tcp) {
  return READ(tcp, srtt_us) != 0 || READ(tcp, lsndtime) != 0;
}

/* What an attempt came to whose events were all missed, because softirqs interrupted these very programs. A failure has
 * a second event (on_error_report), and what a process does itself is not missed. */
static __always_inline void infer_outcome(const struct sock* sk, const struct attempt* attempt) {
  const struct tcp_sock* tcp = TCP_SOCK(sk);
  struct tw_connect_totals* totals = totals_of(&attempt->key);
  if (!tcp || !totals) return;
  add(&totals->inferred, 1);
  if (attempt->is_port_probe) add(&totals->attempts, 1);
  if (was_established(tcp)) {
    add(&totals->established, 1);
  } else {
    const int error = READ(sk, sk_err);
    const __u32 cause = error ? cause_of_errno(error) : TW_CAUSE_OTHER;
    if (cause < TW_CONNECT_CAUSES) add(&totals->ended[cause], 1);
  }
}

/* CLOSE → SYN_SENT, in the context of the process. */
static __always_inline void on_attempt(const struct sock* sk) {
  const __u64 socket = (__u64)sk;
  struct tw_connect_totals* totals;
  struct attempt attempt;
  struct attempt* left; /* of the same socket: its end was missed */
  __builtin_memset(&attempt, 0, sizeof attempt);
  attempt.began_ns = bpf_ktime_get_ns();
  fill_key(&attempt.key, sk);
  attempt.pid = bpf_get_current_pid_tgid() >> 32;
  attempt.port_before = BPF_CORE_READ((const struct inet_sock*)sk, inet_sport);
  attempt.is_port_probe = has_one_port_range(sk);
  bpf_get_current_comm(attempt.comm, sizeof attempt.comm);
  forget_entered();
  totals = totals_of(&attempt.key);
  if (!totals) return;
  add(&totals->syn_sent, 1);
  if (!attempt.is_port_probe) {
    add(&totals->attempts, 1);
    if (is_retry(&attempt)) {
      add(&totals->retries, 1);
      emit(&attempt, TW_EVENT_RETRY, 0, attempt.began_ns, 0);
    }
  }
  if (!bpf_map_update_elem(&in_flight, &socket, &attempt, BPF_NOEXIST)) return;
  left = bpf_map_lookup_elem(&in_flight, &socket);
  if (left) infer_outcome(sk, left);
  if (bpf_map_update_elem(&in_flight, &socket, &attempt, BPF_ANY)) count_lost(TW_LOST_IN_FLIGHT);
}

/* Why SYN_SENT ended in CLOSE. The kernel says it in sk_err, except for what connect() itself returned and for an
 * application that gave up: there segments, ports and time tell. */
static __always_inline __u32 cause_of(const struct sock* sk, const struct tcp_sock* tcp, const struct attempt* attempt,
                                      __u64 now) {
  const int error = READ(sk, sk_err);
  if (error) return cause_of_errno(error);
  if (attempt->soft_error) return cause_of_errno(attempt->soft_error);
  if (is_deferred(sk)) return TW_CAUSE_ABORTED;
  if (READ(tcp, segs_out) == 0) {
    /* The port search left no new port: exhausted, or the socket's own one is taken. A new port and no segment is a
     * failure after the search, such as no memory for the SYN. */
    const __u16 port = BPF_CORE_READ((const struct inet_sock*)sk, inet_sport);
    return port == attempt->port_before ? TW_CAUSE_ADDR_NOT_AVAILABLE : TW_CAUSE_RESOURCES;
  }
  if (READ(tcp, total_retrans) > 0 || now - attempt->began_ns >= GAVE_UP_AFTER) return TW_CAUSE_TIMEOUT;
  return TW_CAUSE_ABORTED;
}

static __always_inline void count_search(struct tw_connect_totals* totals, __u64 ns) {
  add(&totals->search_ns, ns);
  count_duration(totals->search, ns);
}

/* The SYN's departure is the time stamp of the last segment sent, as long as the SYN was the only one. */
static __always_inline void count_search_before_syn(struct tw_connect_totals* totals, const struct tcp_sock* tcp,
                                                    const struct attempt* attempt) {
  __u64 sent;
  if (!bpf_core_field_exists(struct tcp_sock, tcp_wstamp_ns)) return;
  if (READ(tcp, total_retrans) != 0 || READ(tcp, segs_out) != 1) return;
  sent = READ(tcp, tcp_wstamp_ns);
  if (sent >= attempt->began_ns) count_search(totals, sent - attempt->began_ns);
}

static __always_inline void on_established(const struct tcp_sock* tcp, const struct attempt* attempt,
                                           struct tw_connect_totals* totals, __u64 now) {
  const __u64 elapsed = now - attempt->began_ns;
  if (attempt->is_port_probe) add(&totals->attempts, 1);
  add(&totals->established, 1);
  add(&totals->connect_ns, elapsed);
  count_duration(totals->connect, elapsed);
  count_search_before_syn(totals, tcp, attempt);
  if (elapsed >= slow_ns) emit(attempt, TW_EVENT_SLOW, 0, now, READ(tcp, total_retrans));
}

static __always_inline void on_failed(const struct tcp_sock* tcp, const struct attempt* attempt,
                                      struct tw_connect_totals* totals, __u32 cause, __u64 now) {
  const __u64 elapsed = now - attempt->began_ns;
  if (attempt->is_port_probe && cause == TW_CAUSE_ADDR_NOT_AVAILABLE) {
    add(&totals->port_probes, 1);
    return;
  }
  if (attempt->is_port_probe) add(&totals->attempts, 1);
  if (cause < TW_CONNECT_CAUSES) add(&totals->ended[cause], 1);
  count_duration(totals->gave_up, elapsed);
  if (cause == TW_CAUSE_ADDR_NOT_AVAILABLE) {
    if (attempt->port_before) {
      add(&totals->collisions, 1);
    } else {
      count_search(totals, elapsed);
    }
  } else {
    count_search_before_syn(totals, tcp, attempt);
  }
  if (cause == TW_CAUSE_ABORTED) return;
  give_credit(attempt, now);
  emit(attempt, TW_EVENT_FAILED, cause, now, READ(tcp, total_retrans));
}

/* SYN_SENT, or SYN_RECV of a simultaneous open, ends. */
static __always_inline void on_outcome(const struct sock* sk, int state) {
  const __u64 socket = (__u64)sk;
  struct attempt* attempt = bpf_map_lookup_elem(&in_flight, &socket);
  struct tw_connect_totals* totals;
  const struct tcp_sock* tcp;
  __u64 now;
  if (!attempt) return; /* began before the programs were attached, or a server's side */
  now = bpf_ktime_get_ns();
  tcp = TCP_SOCK(sk);
  totals = totals_of(&attempt->key);
  if (tcp && totals) {
    if (state == kEstablished) {
      on_established(tcp, attempt, totals, now);
    } else {
      on_failed(tcp, attempt, totals, cause_of(sk, tcp, attempt, now), now);
    }
  }
  bpf_map_delete_elem(&in_flight, &socket);
}

HOOK("inet_sock_set_state")
int BPF_PROG(on_state, const struct sock* sk, int from, int to) {
  if (to == kSynSent) {
    if (READ(sk, sk_protocol) == kProtocolTcp && is_watched(sk)) on_attempt(sk);
    return 0;
  }
  if (from != kSynSent && from != kSynReceived) return 0;
  if (to != kEstablished && to != kClose) return 0;
  if (!is_watched(sk)) return 0;
  on_outcome(sk, to);
  return 0;
}

/* An attempt that is still in flight when its socket goes. */
HOOK("tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock* sk) {
  const __u64 socket = (__u64)sk;
  struct attempt* attempt = bpf_map_lookup_elem(&in_flight, &socket);
  if (!attempt) return 0;
  infer_outcome(sk, attempt);
  bpf_map_delete_elem(&in_flight, &socket);
  return 0;
}

HOOK("tcp_retransmit_skb")
int BPF_PROG(on_retransmit, const struct sock* sk) {
  const __u64 socket = (__u64)sk;
  struct tw_connect_totals* totals;
  struct attempt* attempt;
  if (READ(sk, __sk_common.skc_state) != kSynSent) return 0;
  attempt = bpf_map_lookup_elem(&in_flight, &socket);
  if (!attempt) return 0;
  totals = totals_of(&attempt->key);
  if (totals) add(&totals->syn_retransmits, 1);
  return 0;
}

/* An ICMP error that found the socket in use by its process is only noted there, and gone when it is asked for. One
 * that ended the attempt comes here too, after its change of state: that is found done already, unless it was missed.
 */
HOOK("inet_sk_error_report")
int BPF_PROG(on_error_report, const struct sock* sk) {
  const __u64 socket = (__u64)sk;
  const int state = READ(sk, __sk_common.skc_state);
  const struct tcp_sock* tcp;
  struct attempt* attempt;
  if (state != kSynSent && state != kClose) return 0;
  attempt = bpf_map_lookup_elem(&in_flight, &socket);
  if (!attempt) return 0;
  if (state == kSynSent) {
    attempt->soft_error = READ(sk, sk_err_soft);
    return 0;
  }
  tcp = TCP_SOCK(sk);
  if (tcp && was_established(tcp)) return 0; /* on_destroy's */
  on_outcome(sk, kClose);
  return 0;
}

static __always_inline struct tw_listener_totals* listener_of(const struct tw_listener_key* key) {
  static const struct tw_listener_totals none;
  struct tw_listener_totals* totals = bpf_map_lookup_elem(&listeners, key);
  if (totals) return totals;
  bpf_map_update_elem(&listeners, key, &none, BPF_NOEXIST);
  totals = bpf_map_lookup_elem(&listeners, key);
  if (!totals) count_lost(TW_LOST_LISTENERS);
  return totals;
}

HOOK("tcp_retransmit_synack")
int BPF_PROG(on_retransmit_synack, const struct sock* sk) {
  struct tw_listener_totals* totals;
  struct tw_listener_key key;
  if (!is_watched(sk)) return 0;
  __builtin_memset(&key, 0, sizeof key);
  key.netns = watched_netns;
  key.port = READ(sk, __sk_common.skc_num);
  if (READ(sk, __sk_common.skc_family) == kFamilyV6) {
    copy_v6(key.address, &sk->__sk_common.skc_v6_rcv_saddr);
  } else {
    map_v4(key.address, READ(sk, __sk_common.skc_rcv_saddr));
  }
  totals = listener_of(&key);
  if (totals) add(&totals->synack_retransmits, 1);
  return 0;
}

/* A final ACK that found the accept queue full. The kernel names the port in the packet alone; so the listener is known
 * by its port, with the wildcard address. */
HOOK("kfree_skb")
int BPF_PROG(on_drop, struct sk_buff* skb, void* location, int reason) {
  struct tw_listener_totals* totals;
  struct tw_listener_key key;
  struct net_device* device;
  __be16 port = 0;
  if (!bpf_core_enum_value_exists(enum skb_drop_reason___overflow, SKB_DROP_REASON_TCP_LISTEN_OVERFLOW___overflow))
    return 0;
  if (reason !=
      (int)bpf_core_enum_value(enum skb_drop_reason___overflow, SKB_DROP_REASON_TCP_LISTEN_OVERFLOW___overflow)) {
    return 0;
  }
  device = BPF_CORE_READ(skb, dev);
  if (!device || BPF_CORE_READ(device, nd_net.net, ns.inum) != watched_netns) return 0;
  bpf_probe_read_kernel(&port, sizeof port, BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, transport_header) + 2);
  __builtin_memset(&key, 0, sizeof key);
  key.netns = watched_netns;
  key.port = bpf_ntohs(port);
  totals = listener_of(&key);
  if (totals) add(&totals->dropped_final_acks, 1);
  return 0;
}

#ifndef TIDEWAITER_RAW_TRACEPOINTS

/* What the tracepoint hands over. */
struct exit_connect {
  __u64 common;
  __s64 number;
  __s64 result;
};

/* A thread that calls again without having reached SYN_SENT has failed before. */
static __always_inline void remember_entered(const struct tw_connect_key* key, __u64 thread) {
  struct tw_entered_call call = {.began_ns = bpf_ktime_get_ns(), .key = *key};
  struct tw_entered_call* failed;
  struct tw_connect_totals* totals;
  if (!bpf_map_update_elem(&entered, &thread, &call, BPF_NOEXIST)) return;
  failed = bpf_map_lookup_elem(&entered, &thread);
  if (!failed) return count_lost(TW_LOST_ENTERED);
  totals = totals_of(&failed->key);
  if (totals) add(&totals->failed_early, 1);
  bpf_map_update_elem(&entered, &thread, &call, BPF_ANY);
}

static __always_inline void on_enter(struct tw_connect_key* key) {
  const __u64 thread = bpf_get_current_pid_tgid();
  if (bpf_get_retval() < 0) { /* a program before this one refused it: nothing else will ever be seen of it */
    struct tw_connect_totals* totals = totals_of(key);
    struct attempt attempt;
    if (!totals) return;
    __builtin_memset(&attempt, 0, sizeof attempt);
    attempt.began_ns = bpf_ktime_get_ns();
    attempt.key = *key;
    attempt.pid = thread >> 32;
    bpf_get_current_comm(attempt.comm, sizeof attempt.comm);
    add(&totals->attempts, 1);
    add(&totals->ended[TW_CAUSE_DENIED], 1);
    emit(&attempt, TW_EVENT_FAILED, TW_CAUSE_DENIED, attempt.began_ns, 0);
    return;
  }
  remember_entered(key, thread);
}

static __always_inline bool is_watched_connect(struct bpf_sock_addr* ctx) {
  return ctx->type == kStreamSocket && ctx->protocol == kProtocolTcp && bpf_get_netns_cookie(ctx) == watched_cookie;
}

/* connect() to the unspecified address goes to the socket's own source address, or to loopback. */
static __always_inline __be32 routed_v4(struct bpf_sock_addr* ctx) {
  const __be32 address = ctx->user_ip4;
  const __be32 source = ctx->sk ? ctx->sk->src_ip4 : 0;
  if (address) return address;
  return source ? source : bpf_htonl(0x7f000001);
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr* ctx) {
  struct tw_connect_key key;
  if (!is_watched_connect(ctx)) return 1;
  __builtin_memset(&key, 0, sizeof key);
  key.netns = watched_netns;
  key.port = bpf_ntohs((__u16)ctx->user_port);
  map_v4(key.destination, routed_v4(ctx));
  on_enter(&key);
  return 1;
}

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr* ctx) {
  struct tw_connect_key key;
  __u32 words[4];
  if (!is_watched_connect(ctx)) return 1;
  words[0] = ctx->user_ip6[0];
  words[1] = ctx->user_ip6[1];
  words[2] = ctx->user_ip6[2];
  words[3] = ctx->user_ip6[3];
  if (!(words[0] | words[1] | words[2] | words[3])) words[3] = bpf_htonl(1);
  __builtin_memset(&key, 0, sizeof key);
  key.netns = watched_netns;
  key.port = bpf_ntohs((__u16)ctx->user_port);
  __builtin_memcpy(key.destination, words, sizeof key.destination);
  on_enter(&key);
  return 1;
}

/* Attached only while the errno window is open: says why a connect() ended that never reached SYN_SENT. */
SEC("tracepoint/syscalls/sys_exit_connect")
int on_exit_connect(struct exit_connect* ctx) {
  const __u64 thread = bpf_get_current_pid_tgid();
  struct tw_entered_call* failed = bpf_map_lookup_elem(&entered, &thread);
  struct tw_connect_totals* totals;
  if (!failed) return 0;
  totals = totals_of(&failed->key);
  if (totals) {
    add(&totals->failed_early, 1);
    switch (-ctx->result) {
      case kNetworkUnreachable:
      case kHostUnreachable:
        add(&totals->unreachable_early, 1);
        break;
      case kAccess:
      case kPermission:
      case kInvalid:
        add(&totals->prohibited_early, 1);
        break;
      default:
        break;
    }
  }
  bpf_map_delete_elem(&entered, &thread);
  return 0;
}
#endif
