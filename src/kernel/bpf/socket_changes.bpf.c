// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Who takes and leaves local ports in one network namespace, as a stream: what keeps a census up to date between two
 * walks of the socket table. Attached only while a reader wants it.
 *
 * A connection is told once it is established, or in SYN_SENT when its SYN is sent again: before its first answer the
 * kernel raises no event in which the port stands already. Sockets of the ports in `left_out` are not told.
 */
#include "kernel/bpf/kernel_types.h"
#include "kernel/wire/socket_change_wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define WAKE_AT_BYTES (1 << 16)

/* Settings that the reader writes. */
volatile __u32 watched_netns = 0; /* inode of the namespace; 0 = none */
volatile __u64 left_out[65536 / 64];

__u64 lost = 0;                        /* changes that found the ring full */
__u64 clock_ns = 0, clock_jiffies = 0; /* the two clocks at one moment, when read_clocks ran last */

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 18); /* mapped twice by the reader: resident memory */
} changes SEC(".maps");

static __always_inline bool is_left_out(__u16 port) { return left_out[port / 64] >> (port % 64) & 1; }

static __always_inline void map_v4(__u8* address, __be32 v4) {
  __builtin_memset(address, 0, 10);
  address[10] = address[11] = 0xff;
  __builtin_memcpy(address + 12, &v4, 4);
}

static __always_inline void tell(struct sock* sk, __u8 kind) {
  const struct inet_sock* const inet = (const struct inet_sock*)bpf_skc_to_tcp_sock(sk);
  struct tw_socket_change* change;
  __u16 port;
  if (!inet) return;
  port = bpf_ntohs(inet->inet_sport);
  if (port == 0 || is_left_out(port)) return;
  change = bpf_ringbuf_reserve(&changes, sizeof *change, 0);
  if (!change) {
    __sync_fetch_and_add(&lost, 1);
    return;
  }
  change->at_ns = bpf_ktime_get_ns();
  change->jiffies = bpf_jiffies64();
  change->cookie = bpf_get_socket_cookie(sk);
  if (sk->__sk_common.skc_family == kFamilyV6) {
    bpf_probe_read_kernel(change->source, 16, &sk->__sk_common.skc_v6_rcv_saddr);
    bpf_probe_read_kernel(change->destination, 16, &sk->__sk_common.skc_v6_daddr);
  } else {
    map_v4(change->source, sk->__sk_common.skc_rcv_saddr);
    map_v4(change->destination, sk->__sk_common.skc_daddr);
  }
  change->local_port = port;
  change->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
  change->kind = kind;
  __builtin_memset(change->reserved, 0, sizeof change->reserved);
  bpf_ringbuf_submit(
      change, bpf_ringbuf_query(&changes, BPF_RB_AVAIL_DATA) >= WAKE_AT_BYTES ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* The kernel makes the mini-socket first and closes the connection then. */
static __always_inline bool leaves_time_wait(const struct sock* sk, int from) {
  return (from == kFinWait1 || from == kFinWait2 || from == kClosing) && sk->sk_err == 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_change, struct sock* sk, int from, int to) {
  if (to != kEstablished && to != kClose) return 0;
  if (sk->sk_protocol != kProtocolTcp || from == kListen) return 0;
  if (sk->__sk_common.skc_net.net->ns.inum != watched_netns) return 0;
  if (to == kEstablished) {
    tell(sk, TW_SOCKET_OPENED);
  } else {
    tell(sk, leaves_time_wait(sk, from) ? TW_SOCKET_TIME_WAIT : TW_SOCKET_RELEASED);
  }
  return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_retransmit, struct sock* sk) {
  if (sk->__sk_common.skc_state != kSynSent) return 0;
  if (sk->__sk_common.skc_net.net->ns.inum != watched_netns) return 0;
  tell(sk, TW_SOCKET_SYN_RETRANSMITTED);
  return 0;
}

SEC("syscall")
int read_clocks(void* context) {
  clock_ns = bpf_ktime_get_ns();
  clock_jiffies = bpf_jiffies64();
  return 0;
}
