// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The TCP sockets of the network namespace that the reader was in when it opened the iterator: one walk over both
 * families, listeners first. Writes a record per connection that holds a port for a destination, and only counts the
 * rest. The kernel runs the program once per socket, with the socket held; nothing here loops.
 */
#include "kernel/bpf/kernel_types.h"
#include "kernel/wire/socket_wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct tw_socket_walk walk;

static __always_inline bool is_mapped(const struct in6_addr* v6) {
  return v6->in6_u.u6_addr32[0] == 0 && v6->in6_u.u6_addr32[1] == 0 && v6->in6_u.u6_addr32[2] == bpf_htonl(0xffff);
}

static __always_inline bool has_v6(const struct sock_common* sk) {
  return bpf_core_field_exists(sk->skc_v6_daddr) && sk->skc_family == kFamilyV6;
}

static __always_inline void copy_v6(__u8* to, const struct in6_addr* v6) {
  const __u32 words[4] = {v6->in6_u.u6_addr32[0], v6->in6_u.u6_addr32[1], v6->in6_u.u6_addr32[2],
                          v6->in6_u.u6_addr32[3]};
  __builtin_memcpy(to, words, sizeof words);
}

static __always_inline void map_v4(__u8* to, __be32 v4) {
  const __u32 words[4] = {0, 0, bpf_htonl(0xffff), v4};
  __builtin_memcpy(to, words, sizeof words);
}

/* A record that does not fit is not lost: the kernel shows the same socket again with the next read. */
static __always_inline void write_wide(struct seq_file* seq, const struct sock_common* sk,
                                       const struct tw_socket_head* head, __u32 amount) {
  struct tw_socket_wide record;
  record.head = *head;
  record.head.amount = 0;
  record.head.flags |= TW_SOCKET_WIDE;
  record.amount = amount;
  record.reserved = 0;
  if (has_v6(sk)) {
    copy_v6(record.source, &sk->skc_v6_rcv_saddr);
    copy_v6(record.destination, &sk->skc_v6_daddr);
  } else {
    map_v4(record.source, sk->skc_rcv_saddr);
    map_v4(record.destination, sk->skc_daddr);
  }
  bpf_seq_write(seq, &record, sizeof record);
}

static __always_inline void write_socket(struct seq_file* seq, const struct sock_common* sk,
                                         const struct tw_socket_head* head, __u32 amount) {
  struct tw_socket_v4 record;
  __be32 source = sk->skc_rcv_saddr;
  __be32 destination = sk->skc_daddr;
  if (has_v6(sk)) {
    if (!is_mapped(&sk->skc_v6_daddr) || !is_mapped(&sk->skc_v6_rcv_saddr)) return write_wide(seq, sk, head, amount);
    source = sk->skc_v6_rcv_saddr.in6_u.u6_addr32[3];
    destination = sk->skc_v6_daddr.in6_u.u6_addr32[3];
  }
  if (amount > 0xffff) return write_wide(seq, sk, head, amount);
  record.head = *head;
  record.head.amount = amount;
  __builtin_memcpy(record.source, &source, sizeof source);
  __builtin_memcpy(record.destination, &destination, sizeof destination);
  bpf_seq_write(seq, &record, sizeof record);
}

static __always_inline bool is_listening(__u16 port) { return walk.listening[port / 64] >> (port % 64) & 1; }

static __always_inline void leave_out(__u16 port, bool is_mini) {
  ++walk.left_out;
  if (port < walk.lo || port > walk.hi) return;
  ++walk.left_out_in_range;
  if (is_mini) ++walk.left_out_in_range_mini;
}

static __always_inline void show_listener(struct seq_file* seq, struct sock_common* sk, struct tw_socket_head* head) {
  const struct tcp_sock* tcp = (const struct tcp_sock*)bpf_skc_to_tcp_sock(sk);
  int half_open;
  if (!tcp) return;
  half_open = tcp->inet_conn.icsk_accept_queue.qlen.counter;
  if (half_open > 0) write_wide(seq, sk, head, half_open);
}

/* What is on a listener's port: only what the listener's own row cannot tell is written. */
static __always_inline void show_server_side(struct seq_file* seq, struct sock_common* sk,
                                             struct tw_socket_head* head) {
  const struct tcp_sock* tcp = 0;
  if (head->state == kEstablished || head->state == kCloseWait) tcp = (const struct tcp_sock*)bpf_skc_to_tcp_sock(sk);
  if (tcp && tcp->inet_conn.icsk_inet.sk.sk_socket == 0) {
    head->flags |= TW_SOCKET_WAITS;
    return write_socket(seq, sk, head, (__u32)bpf_jiffies64() - tcp->lsndtime);
  }
  /* A fast-open child: half-open, but in no queue of requests. */
  if (head->state == kSynReceived) return write_socket(seq, sk, head, 0);
  leave_out(head->local_port, false);
}

static __always_inline void show_mini_socket(struct seq_file* seq, struct sock_common* sk,
                                             struct tw_socket_head* head) {
  const struct tcp_timewait_sock* mini = (const struct tcp_timewait_sock*)bpf_skc_to_tcp_timewait_sock(sk);
  __s32 ticks;
  if (!mini) return;
  if (is_listening(head->local_port)) return leave_out(head->local_port, true);
  head->state = mini->tw_sk.tw_substate;
  head->flags |= TW_SOCKET_MINI;
  ticks = (__s32)((__u32)mini->tw_sk.tw_timer.expires - (__u32)bpf_jiffies64());
  write_socket(seq, sk, head, ticks > 0 ? ticks : 0);
}

static __always_inline bool was_retransmitted(struct sock_common* sk) {
  const struct tcp_sock* tcp = (const struct tcp_sock*)bpf_skc_to_tcp_sock(sk);
  return tcp && tcp->inet_conn.icsk_retransmits > 0;
}

SEC("iter/tcp")
int list_sockets(struct bpf_iter__tcp* ctx) {
  struct sock_common* sk = ctx->sk_common;
  struct seq_file* seq = ctx->meta->seq;
  struct tw_socket_head head;
  if (!sk) return 0; /* the end */
  head.cookie = bpf_get_socket_cookie(sk);
  head.local_port = sk->skc_num;
  head.remote_port = bpf_ntohs(sk->skc_dport);
  head.amount = 0;
  head.state = sk->skc_state;
  head.flags = 0;
  switch (head.state) {
    case kClose:
      return 0;
    case kListen:
      show_listener(seq, sk, &head);
      return 0;
    case kTimeWait:
      show_mini_socket(seq, sk, &head);
      return 0;
    default:
      break;
  }
  if (is_listening(head.local_port)) {
    show_server_side(seq, sk, &head);
    return 0;
  }
  if (head.state == kSynSent && was_retransmitted(sk)) head.flags |= TW_SOCKET_RETRANSMITTED;
  write_socket(seq, sk, &head, 0);
  return 0;
}
