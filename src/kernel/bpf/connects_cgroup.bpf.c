// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Every TCP connect of one network namespace by programs at the root of the cgroups (hook A): connect() is entered, and
 * what its socket tells from then on. Needs CAP_BPF and CAP_NET_ADMIN.
 *
 * Built twice: for who has CAP_PERFMON too, so that the kernel's own error says why a connect failed; and without
 * (TIDEWAITER_WITHOUT_PERFMON), where segments tell what they can and the rest is "other".
 */
#include "kernel/bpf/connect_calls.h"
#ifndef TIDEWAITER_WITHOUT_PERFMON
#include "kernel/bpf/socket_reads.h"
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define WANTED_CALLS (BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG)

#define FOUND_UNSEEN 1 /* as the time when a port was found: before any attempt, so no search is counted */

/* The socket is to say its state changes. The mask of calls is everybody's: bits are added to it, and stay, for nobody
 * can tell who else has come to want them. */
static __always_inline void ask_for_states(struct bpf_sock_addr* ctx) {
  int calls = 0;
  if (bpf_getsockopt(ctx, kSolTcp, kSockOpsCalls, &calls, sizeof calls)) return; /* before Linux 6.12: on_connecting */
  if ((calls & WANTED_CALLS) == WANTED_CALLS) return;
  calls |= WANTED_CALLS;
  bpf_setsockopt(ctx, kSolTcp, kSockOpsCalls, &calls, sizeof calls);
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr* ctx) {
  if (enter_v4(ctx)) ask_for_states(ctx);
  return 1;
}

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr* ctx) {
  if (enter_v6(ctx)) ask_for_states(ctx);
  return 1;
}

/* Word by word: the verifier allows no wider look at a context. */
static __always_inline void copy_v6(__u8* address, const volatile __u32* words) {
  const __u32 copy[4] = {words[0], words[1], words[2], words[3]};
  __builtin_memcpy(address, copy, sizeof copy);
}

static __always_inline void fill_key(struct tw_connect_key* key, const struct bpf_sock_ops* ctx) {
  __builtin_memset(key, 0, sizeof *key);
  key->netns = watched_netns;
  key->port = bpf_ntohl(ctx->remote_port);
  if (ctx->family == kFamilyV6) {
    copy_v6(key->source, ctx->local_ip6);
    copy_v6(key->destination, ctx->remote_ip6);
  } else {
    map_v4(key->source, ctx->local_ip4);
    map_v4(key->destination, ctx->remote_ip4);
  }
}

#ifdef TIDEWAITER_WITHOUT_PERFMON

/* Sockets with an IP_LOCAL_PORT_RANGE of one port, which can be seen in no other way. */
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, __u8);
} pinned SEC(".maps");

SEC("cgroup/setsockopt")
int on_setsockopt(struct bpf_sockopt* ctx) {
  const __u16* range = ctx->optval;
  __u8* is_pinned;
  if (ctx->level != kSolIp || ctx->optname != kLocalPortRange || !ctx->sk) return 1;
  if ((const void*)(range + 2) > ctx->optval_end) return 1;
  is_pinned = bpf_sk_storage_get(&pinned, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (is_pinned) *is_pinned = range[0] != 0 && range[0] == range[1];
  return 1;
}

static __always_inline bool is_port_probe(struct bpf_sock_ops* ctx) {
  struct bpf_sock* sk = ctx->sk;
  const __u8* is_pinned = sk ? bpf_sk_storage_get(&pinned, sk, 0, 0) : 0;
  return is_pinned && *is_pinned;
}

/* sk_err is not to be seen. A SYN is answered by segments alone, and nothing but a reset ends SYN_SENT by a segment. No
 * answer and no second SYN is an ICMP error, or an application that gave up early. */
static __always_inline __u32 cause_of_end(struct bpf_sock_ops* ctx, const struct attempt* attempt, __u64 now) {
  if (!attempt->searched_ns) {
    /* With a new port, and nothing sent: a fast open that waits for its first write. */
    return bpf_htons(ctx->local_port) == attempt->port_before ? TW_CAUSE_ADDR_NOT_AVAILABLE : TW_CAUSE_ABORTED;
  }
  if (ctx->segs_out == 0) return TW_CAUSE_RESOURCES;
  if (ctx->segs_in > 0) return TW_CAUSE_REFUSED;
  return ctx->total_retrans > 0 ? TW_CAUSE_TIMEOUT : TW_CAUSE_OTHER;
}

#else

SEC("tracepoint/syscalls/sys_exit_connect")
int on_exit_connect(struct exit_connect* ctx) {
  leave(ctx->result);
  return 0;
}

static __always_inline const struct tcp_sock* tcp_of(struct bpf_sock_ops* ctx) {
  struct bpf_sock* sk = ctx->sk;
  return sk ? (const struct tcp_sock*)bpf_skc_to_tcp_sock(sk) : 0;
}

static __always_inline bool is_port_probe(struct bpf_sock_ops* ctx) {
  const struct tcp_sock* tcp = tcp_of(ctx);
  return tcp && has_one_port_range((const struct sock*)tcp);
}

static __always_inline __u32 cause_of_end(struct bpf_sock_ops* ctx, const struct attempt* attempt, __u64 now) {
  const struct tcp_sock* tcp = tcp_of(ctx);
  const struct sock* sk = (const struct sock*)tcp;
  if (!tcp) return TW_CAUSE_OTHER;
  if (!READ(sk, sk_err) && !attempt->soft_error && READ(sk, sk_err_soft)) return cause_of_errno(READ(sk, sk_err_soft));
  return cause_of(sk, tcp, attempt, now);
}

#endif

/* The end of an attempt was missed: somebody had replaced the mask. */
static __always_inline void conclude_missed(__u64 socket) {
  struct attempt* left = bpf_map_lookup_elem(&in_flight, &socket);
  struct tw_connect_totals* totals = left ? totals_of(&left->key) : 0;
  if (!totals) return;
  add(&totals->inferred, 1);
  if (left->is_port_probe) add(&totals->attempts, 1);
  add(&totals->ended[TW_CAUSE_OTHER], 1);
}

/* CLOSE → SYN_SENT, or later, in the context of the process. */
static __always_inline void on_attempt(struct bpf_sock_ops* ctx, __u64 socket, __u64 searched_ns) {
  struct attempt attempt;
  __builtin_memset(&attempt, 0, sizeof attempt);
  attempt.began_ns = bpf_ktime_get_ns();
  attempt.searched_ns = searched_ns;
  fill_key(&attempt.key, ctx);
  attempt.port_before = bpf_htons(ctx->local_port);
  attempt.is_port_probe = is_port_probe(ctx);
  set_canary_apart(&attempt.key, socket);
  if (begin(socket, &attempt)) return;
  conclude_missed(socket);
  begin_anew(socket, &attempt);
}

static __always_inline void on_outcome(struct bpf_sock_ops* ctx, int state) {
  const __u64 socket = bpf_get_socket_cookie(ctx);
  struct attempt* attempt = bpf_map_lookup_elem(&in_flight, &socket);
  struct tw_connect_totals* totals;
  if (!attempt) return;
  totals = totals_of(&attempt->key);
  if (totals) {
    struct outcome outcome = {bpf_ktime_get_ns(), attempt->searched_ns, ctx->total_retrans, 0};
    if (state == kEstablished) {
      count_established(attempt, totals, &outcome);
    } else {
      outcome.cause = cause_of_end(ctx, attempt, outcome.at_ns);
      count_failed(attempt, totals, &outcome);
    }
  }
  bpf_map_delete_elem(&in_flight, &socket);
}

static __always_inline void on_state(struct bpf_sock_ops* ctx, __u32 from, __u32 to) {
  if (to == kSynSent) {
    if (bpf_get_netns_cookie(ctx) == watched_cookie) on_attempt(ctx, bpf_get_socket_cookie(ctx), 0);
    return;
  }
  if (from != kSynSent && from != kSynReceived) return;
  if (to == kEstablished || to == kClose) on_outcome(ctx, to);
}

/* A port is found, and the SYN about to leave. Every socket says this, whatever its mask: where the mask could not be
 * set in time, or somebody has replaced it, the attempt begins here. */
static __always_inline void on_connecting(struct bpf_sock_ops* ctx) {
  const __u32 calls = ctx->bpf_sock_ops_cb_flags;
  struct attempt* attempt;
  __u64 socket;
  if (bpf_get_netns_cookie(ctx) != watched_cookie) return;
  socket = bpf_get_socket_cookie(ctx);
  attempt = bpf_map_lookup_elem(&in_flight, &socket);
  if (attempt) {
    attempt->searched_ns = bpf_ktime_get_ns();
  } else {
    on_attempt(ctx, socket, FOUND_UNSEEN);
  }
  if ((calls & WANTED_CALLS) != WANTED_CALLS) bpf_sock_ops_cb_flags_set(ctx, calls | WANTED_CALLS);
}

static __always_inline void on_retransmit(struct bpf_sock_ops* ctx) {
  const __u64 socket = bpf_get_socket_cookie(ctx);
  struct tw_connect_totals* totals;
  struct attempt* attempt;
  if (ctx->state != kSynSent || ctx->args[2] != 0) return;
  attempt = bpf_map_lookup_elem(&in_flight, &socket);
  totals = attempt ? totals_of(&attempt->key) : 0;
  if (totals) add(&totals->syn_retransmits, 1);
}

SEC("sockops")
int on_socket(struct bpf_sock_ops* ctx) {
  switch (ctx->op) {
    case BPF_SOCK_OPS_STATE_CB:
      on_state(ctx, ctx->args[0], ctx->args[1]);
      break;
    case BPF_SOCK_OPS_TCP_CONNECT_CB:
      on_connecting(ctx);
      break;
    case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB: /* also where somebody has replaced the mask */
      on_outcome(ctx, kEstablished);
      break;
    case BPF_SOCK_OPS_RETRANS_CB:
      on_retransmit(ctx);
      break;
    default:
      break;
  }
  return 1;
}
