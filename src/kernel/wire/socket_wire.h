/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What sockets.bpf.c and the room share, byte by byte; for C11 and C++20. Addresses are in network order, ports in host
 * order. Records follow each other without gaps; `flags` tells how long each is.
 */
#pragma once

#include "kernel/wire/connect_wire.h" /* TW_WIRE_… */

enum tw_socket_flag {
  TW_SOCKET_WIDE = 1,          /* struct tw_socket_wide, else tw_socket_v4 */
  TW_SOCKET_MINI = 2,          /* amount: ticks until its TIME_WAIT timer is due, 0 also when overdue */
  TW_SOCKET_RETRANSMITTED = 4, /* SYN_SENT: the SYN was sent more than once */
  TW_SOCKET_WAITS = 8,         /* for accept(); amount: ticks since it last sent data, or completed its handshake */
  TW_SOCKET_FLAGS = 15         /* all of them */
};

struct tw_socket_head {
  __u64 cookie; /* the kernel's identity of the socket, as sock_diag shows it */
  __u16 local_port;
  __u16 remote_port;
  __u16 amount; /* as the flags say; tw_socket_wide has it in a field of its own */
  __u8 state;   /* of a mini-socket the one that it stands for; NEW_SYN_RECV is 12 */
  __u8 flags;   /* enum tw_socket_flag */
};
TW_WIRE_OFFSET(tw_socket_head, local_port, 8);
TW_WIRE_OFFSET(tw_socket_head, remote_port, 10);
TW_WIRE_OFFSET(tw_socket_head, amount, 12);
TW_WIRE_OFFSET(tw_socket_head, state, 14);
TW_WIRE_OFFSET(tw_socket_head, flags, 15);
TW_WIRE_SIZE(tw_socket_head, 16);

/* IPv4, v4-mapped sockets included: nearly all. */
struct tw_socket_v4 {
  struct tw_socket_head head;
  __u8 source[4];
  __u8 destination[4];
};
TW_WIRE_OFFSET(tw_socket_v4, source, 16);
TW_WIRE_OFFSET(tw_socket_v4, destination, 20);
TW_WIRE_SIZE(tw_socket_v4, 24);

/* IPv6, listeners, and amounts that need more room. */
struct tw_socket_wide {
  struct tw_socket_head head;
  __u8 source[16];
  __u8 destination[16];
  __u32 amount; /* LISTEN: half-open connections */
  __u32 reserved;
};
TW_WIRE_OFFSET(tw_socket_wide, source, 16);
TW_WIRE_OFFSET(tw_socket_wide, destination, 32);
TW_WIRE_OFFSET(tw_socket_wide, amount, 48);
TW_WIRE_SIZE(tw_socket_wide, 56);

/* In memory that both sides see. The reader fills it in before a walk, the walk counts what it leaves out. */
struct tw_socket_walk {
  __u64 listening[1024]; /* bit p % 64 of word p / 64: what is on port p is a server's side, and only counted */
  __u16 lo;              /* the range of local ports */
  __u16 hi;
  __u32 reserved;
  __u64 left_out;
  __u64 left_out_in_range;
  __u64 left_out_in_range_mini; /* of those: mini-sockets */
};
TW_WIRE_OFFSET(tw_socket_walk, lo, 8192);
TW_WIRE_OFFSET(tw_socket_walk, left_out, 8200);
TW_WIRE_SIZE(tw_socket_walk, 8224);
