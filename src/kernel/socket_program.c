/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/socket_program.h"

#include <errno.h>
#include <skeletons/sockets.skel.h>

int tw_socket_program_load(struct tw_socket_program* program) {
  struct sockets_bpf* skeleton = sockets_bpf__open();
  int outcome;
  if (!skeleton) return -ENOMEM;
  outcome = sockets_bpf__load(skeleton);
  if (outcome >= 0) {
    /* A link's descriptor, or -1 with errno. */
    errno = 0;
    outcome = sockets_bpf__list_sockets__attach(skeleton);
    if (outcome < 0 && errno != 0) outcome = -errno;
  }
  if (outcome < 0) {
    sockets_bpf__destroy(skeleton);
    return outcome;
  }
  program->skeleton = skeleton;
  program->link = outcome;
  program->walk = &skeleton->bss->walk;
  return 0;
}

void tw_socket_program_unload(struct tw_socket_program* program) {
  sockets_bpf__destroy((struct sockets_bpf*)program->skeleton);
  program->skeleton = 0;
}
