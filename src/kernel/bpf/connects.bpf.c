// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Every TCP connect of one network namespace by the state changes of its socket (hook B), and the handshakes that its
 * listeners have trouble with.
 *
 * Built twice: with BTF-typed tracepoints (Linux 5.5), and for older kernels with raw ones
 * (TIDEWAITER_RAW_TRACEPOINTS).
 */
#include "kernel/bpf/connect_calls.h"
#include "kernel/bpf/socket_reads.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#ifdef TIDEWAITER_RAW_TRACEPOINTS
#define HOOK(name) SEC("raw_tp/" name)
#define TCP_SOCK(sk) ((const struct tcp_sock*)(sk))
#else
#define HOOK(name) SEC("tp_btf/" name)
#define TCP_SOCK(sk) ((const struct tcp_sock*)bpf_skc_to_tcp_sock((void*)(sk)))
#endif

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, struct tw_listener_key);
  __type(value, struct tw_listener_totals);
} listeners SEC(".maps");

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
    count_cause(totals, error ? cause_of_errno(error) : TW_CAUSE_OTHER);
  }
}

/* CLOSE → SYN_SENT, in the context of the process. */
static __always_inline void on_attempt(const struct sock* sk) {
  const __u64 socket = (__u64)sk;
  struct attempt attempt;
  struct attempt* left;
  __builtin_memset(&attempt, 0, sizeof attempt);
  attempt.began_ns = bpf_ktime_get_ns();
  fill_key(&attempt.key, sk);
  attempt.port_before = BPF_CORE_READ((const struct inet_sock*)sk, inet_sport);
  attempt.is_port_probe = has_one_port_range(sk);
  set_canary_apart(&attempt.key, READ(sk, __sk_common.skc_cookie.counter));
  if (begin(socket, &attempt)) return;
  left = bpf_map_lookup_elem(&in_flight, &socket);
  if (left) infer_outcome(sk, left);
  begin_anew(socket, &attempt);
}

/* The end of the search where no hook saw it: the SYN's departure, which is the time stamp of the last segment sent as
 * long as the SYN was the only one. */
static __always_inline __u64 searched_at(const struct tcp_sock* tcp, const struct attempt* attempt) {
  if (attempt->searched_ns) return attempt->searched_ns;
  if (!bpf_core_field_exists(struct tcp_sock, tcp_wstamp_ns)) return 0;
  if (READ(tcp, total_retrans) != 0 || READ(tcp, segs_out) != 1) return 0;
  return READ(tcp, tcp_wstamp_ns);
}

/* SYN_SENT, or SYN_RECV of a simultaneous open, ends. */
static __always_inline void on_outcome(const struct sock* sk, int state) {
  const __u64 socket = (__u64)sk;
  struct attempt* attempt = bpf_map_lookup_elem(&in_flight, &socket);
  struct tw_connect_totals* totals;
  const struct tcp_sock* tcp;
  if (!attempt) return; /* began before the programs were attached, or a server's side */
  tcp = TCP_SOCK(sk);
  totals = totals_of(&attempt->key);
  if (tcp && totals) {
    struct outcome outcome = {bpf_ktime_get_ns(), searched_at(tcp, attempt), READ(tcp, total_retrans), 0};
    if (state == kEstablished) {
      count_established(attempt, totals, &outcome);
    } else {
      outcome.cause = cause_of(sk, tcp, attempt, outcome.at_ns);
      count_failed(attempt, totals, &outcome);
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
SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr* ctx) {
  enter_v4(ctx);
  return 1;
}

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr* ctx) {
  enter_v6(ctx);
  return 1;
}

SEC("tracepoint/syscalls/sys_exit_connect")
int on_exit_connect(struct exit_connect* ctx) {
  leave(ctx->result);
  return 0;
}
#endif
