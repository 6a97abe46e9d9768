// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Programs of others, which the probe has to live with. */
#include "kernel/bpf/kernel_types.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

volatile __u32 last_calls = 0; /* the mask of the last socket that was established */

/* Refuses every connect. */
SEC("cgroup/connect4")
int deny(struct bpf_sock_addr* ctx) { return 0; }

/* Wants one call, and asks for it as if nobody else wanted any. */
SEC("cgroup/connect4")
int want_round_trips(struct bpf_sock_addr* ctx) {
  int calls = BPF_SOCK_OPS_RTT_CB_FLAG;
  bpf_setsockopt(ctx, kSolTcp, kSockOpsCalls, &calls, sizeof calls);
  return 1;
}

/* The same when the SYN is about to leave. */
SEC("sockops")
int replace_mask(struct bpf_sock_ops* ctx) {
  if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB) bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_RTT_CB_FLAG);
  return 1;
}

SEC("sockops")
int note_mask(struct bpf_sock_ops* ctx) {
  if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) last_calls = ctx->bpf_sock_ops_cb_flags;
  return 1;
}
