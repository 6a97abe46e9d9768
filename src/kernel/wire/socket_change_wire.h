/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the programs of socket_changes.bpf.c and the room share, byte by byte; for C11 (BPF) and C++20. Times are
 * nanoseconds of CLOCK_MONOTONIC, addresses in network order with IPv4 as v4-mapped, ports in host order.
 */
#pragma once

#include "kernel/wire/connect_wire.h"

enum tw_socket_change_kind {
  TW_SOCKET_OPENED = 1,            /* SYN_SENT or SYN_RECV → ESTABLISHED */
  TW_SOCKET_SYN_RETRANSMITTED = 2, /* in SYN_SENT for a second already */
  TW_SOCKET_TIME_WAIT = 3,         /* closed, and its port is kept by a mini-socket */
  TW_SOCKET_RELEASED = 4           /* closed, and its port is free */
};

/* One change of who holds a local port. */
struct tw_socket_change {
  __u64 at_ns;
  __u64 jiffies; /* at the same moment */
  __u64 cookie;  /* of the connection */
  __u8 source[16];
  __u8 destination[16];
  __u16 local_port;
  __u16 remote_port;
  __u8 kind; /* enum tw_socket_change_kind */
  __u8 reserved[3];
};
TW_WIRE_OFFSET(tw_socket_change, cookie, 16);
TW_WIRE_OFFSET(tw_socket_change, source, 24);
TW_WIRE_OFFSET(tw_socket_change, local_port, 56);
TW_WIRE_OFFSET(tw_socket_change, kind, 60);
TW_WIRE_SIZE(tw_socket_change, 64);
