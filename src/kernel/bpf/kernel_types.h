/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The few fields of kernel structs that the programs read, and nothing else. The loader looks up where they lie in the
 * running kernel (CO-RE), so order and size here mean nothing; names must be the kernel's. A name with three
 * underscores (struct inet_sock___defer) is another shape of the same struct.
 */
#pragma once

/* bpf_helpers.h needs the types, the others need bpf_helpers.h. */
/* clang-format off */
#include <linux/types.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
/* clang-format on */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
  union {
    __u8 u6_addr8[16];
    __be32 u6_addr32[4];
  } in6_u;
};

struct ns_common {
  unsigned int inum;
};

struct net {
  struct ns_common ns;
};

typedef struct {
  struct net* net;
} possible_net_t;

typedef struct {
  __s64 counter;
} atomic64_t;

struct sock_common {
  __be32 skc_daddr;
  __be32 skc_rcv_saddr;
  __be16 skc_dport;
  __u16 skc_num;
  unsigned short skc_family;
  volatile unsigned char skc_state;
  possible_net_t skc_net;
  struct in6_addr skc_v6_daddr;
  struct in6_addr skc_v6_rcv_saddr;
  atomic64_t skc_cookie; /* 0: nobody has asked for it */
};

struct socket;

struct sock {
  struct sock_common __sk_common;
  struct socket* sk_socket; /* NULL: no descriptor holds it */
  __u16 sk_protocol;
  int sk_err;
  int sk_err_soft;
};

struct inet_sock {
  struct sock sk;
  __be16 inet_sport;
  __be32 inet_saddr;
  unsigned long inet_flags; /* since 6.6 */
};

/* IP_LOCAL_PORT_RANGE: since 6.8 one word (hi << 16 | lo), before that (6.3) a struct. */
struct inet_sock___range_word {
  __u32 local_port_range;
};
struct port_range___pair {
  __u16 lo;
  __u16 hi;
};
struct inet_sock___range_pair {
  struct port_range___pair local_port_range;
};

/* TCP_FASTOPEN_CONNECT before its first write: before 6.6 a bit field. */
struct inet_sock___defer {
  __u8 defer_connect : 1;
};

struct kernel_atomic {
  int counter;
};

struct request_sock_queue {
  struct kernel_atomic qlen;
};

struct inet_connection_sock {
  struct inet_sock icsk_inet;
  struct request_sock_queue icsk_accept_queue;
  __u8 icsk_retransmits;
};

struct tcp_sock {
  struct inet_connection_sock inet_conn;
  __u32 segs_out;
  __u32 total_retrans;
  __u32 srtt_us;
  __u32 lsndtime; /* ticks */
  __u64 tcp_wstamp_ns;
};

struct timer_list {
  unsigned long expires; /* ticks */
};

struct inet_timewait_sock {
  struct sock_common __tw_common;
  unsigned char tw_substate;
  struct timer_list tw_timer;
};

struct tcp_timewait_sock {
  struct inet_timewait_sock tw_sk;
};

struct request_sock {
  struct sock_common __req_common;
};

struct seq_file;

struct bpf_iter_meta {
  struct seq_file* seq;
};

struct bpf_iter__tcp {
  struct bpf_iter_meta* meta;
  struct sock_common* sk_common;
};

struct net_device {
  possible_net_t nd_net;
};

struct sk_buff {
  struct net_device* dev;
  __u16 transport_header;
  __u16 network_header;
  unsigned char* head;
};

enum skb_drop_reason___overflow { SKB_DROP_REASON_TCP_LISTEN_OVERFLOW___overflow = 0 };

#pragma clang attribute pop

/* Values of the kernel that never change. */
enum {
  kDeferConnectBit = 19, /* INET_FLAGS_DEFER_CONNECT, of an enum without a name */
  kEstablished = 1,
  kSynSent = 2,
  kSynReceived = 3,
  kFinWait1 = 4,
  kFinWait2 = 5,
  kTimeWait = 6,
  kClose = 7,
  kCloseWait = 8,
  kListen = 10,
  kClosing = 11,
  kProtocolTcp = 6,
  kFamilyV4 = 2,
  kFamilyV6 = 10,
  kSolIp = 0,
  kLocalPortRange = 51, /* IP_LOCAL_PORT_RANGE */
  kSolTcp = 6,
  kSockOpsCalls = 1008, /* TCP_BPF_SOCK_OPS_CB_FLAGS */
  kStreamSocket = 1,
};
enum {
  kPermission = 1,    /* EPERM */
  kTryAgain = 11,     /* EAGAIN */
  kNoMemory = 12,     /* ENOMEM */
  kAccess = 13,       /* EACCES */
  kInvalid = 22,      /* EINVAL */
  kAddressInUse = 98, /* EADDRINUSE */
  kAddressNotAvailable = 99,
  kNetworkUnreachable = 101,
  kConnectionAborted = 103,
  kConnectionReset = 104,
  kNoBuffers = 105,
  kTimedOut = 110,
  kRefused = 111,
  kHostDown = 112,
  kHostUnreachable = 113,
};
