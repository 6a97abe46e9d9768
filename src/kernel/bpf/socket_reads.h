/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the kernel's own structures say about a connect. Needs CAP_PERFMON and BTF.
 *
 * READ: a field through typed pointers, or through raw ones where the verifier knows no types
 * (TIDEWAITER_RAW_TRACEPOINTS).
 */
#pragma once

#include "kernel/bpf/connects.h"

#ifdef TIDEWAITER_RAW_TRACEPOINTS
#define READ(object, ...) BPF_CORE_READ(object, __VA_ARGS__)
#else
#define READ_1(object, a) ((object)->a)
#define READ_2(object, a, b) ((object)->a->b)
#define READ_3(object, a, b, c) ((object)->a->b->c)
#define READ_N(object, a, b, c, name, ...) name
#define READ(object, ...) READ_N(object, __VA_ARGS__, READ_3, READ_2, READ_1)(object, __VA_ARGS__)
#endif

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
    const bool was_found = attempt->searched_ns != 0 || port != attempt->port_before;
    return was_found ? TW_CAUSE_RESOURCES : TW_CAUSE_ADDR_NOT_AVAILABLE;
  }
  if (READ(tcp, total_retrans) > 0 || now - attempt->began_ns >= GAVE_UP_AFTER) return TW_CAUSE_TIMEOUT;
  return TW_CAUSE_ABORTED;
}
