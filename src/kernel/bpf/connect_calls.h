/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * connect() itself: who enters it, and with what it returns. The rest, what a socket goes through, is the objects' own;
 * what enters and never reaches SYN_SENT failed before.
 */
#pragma once

#include "kernel/bpf/connects.h"

static __always_inline bool is_watched_connect(struct bpf_sock_addr* ctx) {
  return ctx->type == kStreamSocket && ctx->protocol == kProtocolTcp && bpf_get_netns_cookie(ctx) == watched_cookie;
}

/* A program before this one refused it: nothing else will ever be seen of it. */
static __always_inline void count_denied(const struct tw_connect_key* key) {
  struct tw_connect_totals* totals = totals_of(key);
  struct attempt attempt;
  if (!totals) return;
  __builtin_memset(&attempt, 0, sizeof attempt);
  attempt.began_ns = bpf_ktime_get_ns();
  attempt.key = *key;
  fill_process(&attempt);
  add(&totals->attempts, 1);
  add(&totals->ended[TW_CAUSE_DENIED], 1);
  if (is_canary(key)) return;
  emit(&attempt, TW_EVENT_FAILED, TW_CAUSE_DENIED, attempt.began_ns, 0);
}

/* A thread that calls again without having reached SYN_SENT has failed before. */
static __always_inline void remember_entered(const struct tw_connect_key* key) {
  const __u64 thread = bpf_get_current_pid_tgid();
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

/* True when the connect goes on. */
static __always_inline bool enter(const struct tw_connect_key* key) {
  const bool is_denied = (int)bpf_get_retval() < 0;
  if (is_denied) {
    count_denied(key);
  } else {
    remember_entered(key);
  }
  return !is_denied;
}

/* connect() to the unspecified address goes to the socket's own source address, or to loopback. */
static __always_inline __be32 routed_v4(struct bpf_sock_addr* ctx) {
  const __be32 address = ctx->user_ip4;
  const __be32 source = ctx->sk ? ctx->sk->src_ip4 : 0;
  if (address) return address;
  return source ? source : bpf_htonl(0x7f000001);
}

/* True when the connect is one of those watched, and goes on. */
static __always_inline bool enter_v4(struct bpf_sock_addr* ctx) {
  struct tw_connect_key key;
  if (!is_watched_connect(ctx)) return false;
  __builtin_memset(&key, 0, sizeof key);
  key.netns = watched_netns;
  key.port = bpf_ntohs((__u16)ctx->user_port);
  map_v4(key.destination, routed_v4(ctx));
  if (canary_cookie) set_canary_apart(&key, bpf_get_socket_cookie(ctx));
  return enter(&key);
}

static __always_inline bool enter_v6(struct bpf_sock_addr* ctx) {
  struct tw_connect_key key;
  __u32 words[4];
  if (!is_watched_connect(ctx)) return false;
  words[0] = ctx->user_ip6[0];
  words[1] = ctx->user_ip6[1];
  words[2] = ctx->user_ip6[2];
  words[3] = ctx->user_ip6[3];
  if (!(words[0] | words[1] | words[2] | words[3])) words[3] = bpf_htonl(1);
  __builtin_memset(&key, 0, sizeof key);
  key.netns = watched_netns;
  key.port = bpf_ntohs((__u16)ctx->user_port);
  __builtin_memcpy(key.destination, words, sizeof key.destination);
  if (canary_cookie) set_canary_apart(&key, bpf_get_socket_cookie(ctx));
  return enter(&key);
}

/* What the tracepoint hands over. */
struct exit_connect {
  __u64 common;
  __s64 number;
  __s64 result;
};

/* connect() returns, and somebody looks: why it ended that never reached SYN_SENT. */
static __always_inline void leave(__s64 result) {
  const __u64 thread = bpf_get_current_pid_tgid();
  struct tw_entered_call* failed = bpf_map_lookup_elem(&entered, &thread);
  struct tw_connect_totals* totals;
  if (!failed || failed->began_ns < exits_since_ns) return; /* an older one, that this return says nothing about */
  totals = totals_of(&failed->key);
  if (totals) {
    add(&totals->failed_early, 1);
    switch (-result) {
      case kNetworkUnreachable:
      case kHostUnreachable:
        add(&totals->unreachable_early, 1);
        break;
      case kAccess:
      case kInvalid:
        add(&totals->prohibited_early, 1);
        break;
      case kPermission:
        add(&totals->denied_early, 1);
        break;
      default:
        break;
    }
  }
  bpf_map_delete_elem(&entered, &thread);
}
