/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program of bpf/sockets.bpf.c in the kernel. In C, because what bpftool makes for it is. SocketIterator is what
 * everybody else uses.
 */
#pragma once

#include "kernel/wire/socket_wire.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tw_socket_program {
  void* skeleton;
  int link;                    /* opens iterators: BPF_ITER_CREATE */
  struct tw_socket_walk* walk; /* shared with the program */
};

/* 0, or a negative errno; then nothing stays behind. */
int tw_socket_program_load(struct tw_socket_program* program);
void tw_socket_program_unload(struct tw_socket_program* program);

#ifdef __cplusplus
}
#endif
