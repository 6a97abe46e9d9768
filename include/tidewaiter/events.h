/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the Tidewaiter agent what a program decides, sends and connects: some nanoseconds an event, no system call, no
 * lock, no allocation. For C11 and C++20, x86-64 and arm64; nothing to link. docs/design/events.md says what becomes of
 * the events. (With -std=c11 instead of gnu11: define _DEFAULT_SOURCE before the first #include.)
 *
 *   struct tw_events* events = NULL;                      // a ring; one for each thread that records
 *   int failed = tw_events_open("/run/tidewaiter/events.sock", &events);
 *   if (failed) fprintf(stderr, "not recorded: %s\n", strerror(-failed));  // and go on: recording into NULL does
 * nothing
 *
 *   struct tw_event route;                                // once for each connection
 *   memset(&route, 0, sizeof route);
 *   tw_event_set_route(&route, NULL, (const struct sockaddr*)&venue);
 *
 *   struct tw_event event = route;                        // child 4711 is decided …
 *   event.kind = TW_EVENT_DECISION;
 *   event.id = 4711;
 *   event.time_ns = tw_events_now();                      // or any time of CLOCK_MONOTONIC that is at hand
 *   event.schedule.scheduled_ns = slot_ns;                // … to be sent at this time,
 *   event.schedule.slice_end_ns = slot_ns + slice_ns;     // … and not after this one
 *   tw_events_record(events, &event);
 *
 *   event = route;                                        // … and its first byte goes out
 *   event.kind = TW_EVENT_SEND_ATTEMPT;
 *   event.id = 4711;
 *   event.time_ns = tw_events_now();
 *   tw_events_record(events, &event);
 *
 *   tw_events_close(events);
 *
 * examples/order_events.c is the whole program.
 *
 * A ring has one producer: record from one thread, not from signal handlers. A child made by fork() has none: recording
 * there does nothing; it opens its own. When nobody empties a ring in time it fills up, and what is recorded then is
 * dropped and counted. When the agent ends, tw_events_connection() hangs up; its successor has new rings.
 */
#pragma once

#include <errno.h>      /* NOLINT(modernize-deprecated-headers): also C */
#include <fcntl.h>      /* NOLINT */
#include <netinet/in.h> /* NOLINT */
#include <stddef.h>     /* NOLINT */
#include <stdint.h>     /* NOLINT */
#include <string.h>     /* NOLINT */
#include <sys/mman.h>   /* NOLINT */
#include <sys/socket.h> /* NOLINT */
#include <sys/stat.h>   /* NOLINT */
#include <sys/time.h>   /* NOLINT */
#include <sys/un.h>     /* NOLINT */
#include <time.h>       /* NOLINT */
#include <unistd.h>     /* NOLINT */

#ifndef MADV_DONTFORK
#error "tidewaiter/events.h: define _DEFAULT_SOURCE before the first #include, or compile with -std=gnu11"
#endif

/* ---- What is recorded ------------------------------------------------------------------------------------------- */

enum tw_event_kind {
  /* Of an order: `id` is the child order's, unique in the process while it is worked on. */
  TW_EVENT_DECISION = 1,     /* the child is decided: schedule, parent */
  TW_EVENT_ADMISSION = 2,    /* an order gate has answered: outcome, shadow_outcome */
  TW_EVENT_SEND_ATTEMPT = 3, /* the first byte is handed to a socket: gate_delay_ns */
  TW_EVENT_SENT = 4,         /* the socket has taken the last one */
  TW_EVENT_SEND_FAILED = 5,  /* the child is given up unsent: error, gate_delay_ns. Not for a try that is repeated */
  TW_EVENT_FILL = 6,         /* quantity */
  TW_EVENT_CANCEL = 7,       /* withdrawn; before it was sent: gate_delay_ns */

  /* Of a connection: `id` is one for all tries of a logical connect. */
  TW_EVENT_CONNECT_BEGIN = 8,
  TW_EVENT_CONNECT_ESTABLISHED = 9,
  TW_EVENT_CONNECT_FAILED = 10,  /* error */
  TW_EVENT_RETRY_SCHEDULED = 11, /* due_ns */
  TW_EVENT_RETRY_FIRED = 12,
  TW_EVENT_RETRY_CANCELLED = 13,
  TW_EVENT_BUDGET_REFUSED = 14, /* a connect or a retry that an own budget did not let begin */
  TW_EVENT_CLOSED = 15          /* an established connection has ended: error, or 0 when this side closed it */
};

/* What an order gate said; TW_GATE_NONE: not told. */
enum tw_gate_outcome {
  TW_GATE_NONE = 0,
  TW_GATE_SEND = 1,
  TW_GATE_HOLD = 2,
  TW_GATE_NEEDS_APPROVAL = 3,
  TW_GATE_REFUSE = 4
};

/* When a child was to be sent, and the end of the part of its parent's schedule that it belongs to; 0: not told. */
struct tw_schedule {
  int64_t scheduled_ns;
  int64_t slice_end_ns;
};

/* One event. Times are nanoseconds of CLOCK_MONOTONIC; what a kind does not use is 0. */
struct tw_event {
  int64_t time_ns;         /* when it happened */
  uint64_t id;             /* of the order or the connection */
  uint8_t destination[16]; /* network order, IPv4 as v4-mapped; all 0: not told */
  uint16_t port;           /* destination port, host byte order */
  uint16_t error;          /* errno */
  uint8_t kind;            /* enum tw_event_kind */
  uint8_t outcome;         /* enum tw_gate_outcome: what the child must obey */
  uint8_t shadow_outcome;  /* enum tw_gate_outcome: what the state prescribes */
  uint8_t reserved;
  union {
    uint8_t source[16];          /* as destination; all kinds but TW_EVENT_DECISION */
    struct tw_schedule schedule; /* TW_EVENT_DECISION */
  };
  union {
    uint64_t parent;       /* TW_EVENT_DECISION: the order that the child belongs to; 0: not told */
    int64_t gate_delay_ns; /* how long an order gate has held the child back on purpose */
    int64_t quantity;      /* TW_EVENT_FILL: how much, in the program's own unit */
    int64_t due_ns;        /* TW_EVENT_RETRY_SCHEDULED: when */
  };
};

/* Destination, and source unless it is NULL, for a struct that is otherwise 0. 0, or -EAFNOSUPPORT (not IPv4, IPv6). */
static inline int tw_event_set_route(struct tw_event* event, const struct sockaddr* source,
                                     const struct sockaddr* destination);

/* CLOCK_MONOTONIC, as events have it. */
static inline int64_t tw_events_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- Recording -------------------------------------------------------------------------------------------------- */

struct tw_events; /* a producer's end of a ring */

/* Asks the agent at a socket for a ring; waits one second for it at most. 0, or a negative errno with *events NULL:
 * -ENOENT, -ECONNREFUSED (no agent there), -EAGAIN (no answer in time), -EACCES (a foreign agent, or it is not for this
 * user), -ENOSPC (all rings are taken), -EPROTO (another version), -EXDEV (another boot or time namespace, whose clock
 * is another), or what the kernel said. */
static inline int tw_events_open(const char* path, struct tw_events** events);

/* Likewise with a ring's descriptor that was got otherwise; it is not needed afterwards. Errors: likewise. */
static inline int tw_events_attach(int descriptor, struct tw_events** events);

/* Records a copy. 1, or 0 when the ring is full (the event is dropped, and counted), `events` is NULL, or this is a
 * child process of the one that opened it. */
static inline int tw_events_record(struct tw_events* events, const struct tw_event* event);

/* Events dropped because the ring was full. */
static inline uint64_t tw_events_dropped(const struct tw_events* events);

/* The connection to the agent, for poll(): it hangs up when the agent ends. -1 after tw_events_attach. */
static inline int tw_events_connection(const struct tw_events* events);

/* What was recorded stays for the agent. NULL is allowed. */
static inline void tw_events_close(struct tw_events* events);

/* ---- The ring, byte by byte --------------------------------------------------------------------------------------
 *
 * A memfd, sealed SHRINK | GROW | SEAL: struct tw_event_ring, then `capacity` events, a power of two. Event number i is
 * at i modulo capacity; the numbers are never reduced. The producer writes an event, then `head` (release): what head
 * does not cover is not there, wherever its producer was killed. The agent reads head (acquire), copies, then writes
 * `tail` (release), from which on the producer may write again. Neither believes the other's number further than that.
 */

#define TW_EVENT_RING_MAGIC UINT64_C(0x31544e4556455754) /* "TWEVENT1" */
#define TW_EVENT_RING_VERSION UINT32_C(1)                /* changes only when the other side would be misled */
#define TW_EVENT_RING_MAX_CAPACITY UINT32_C(1048576)

struct tw_event_ring {
  /* Written by the agent before anybody sees it. */
  uint64_t magic;
  uint32_t version;
  uint32_t capacity;
  uint32_t event_size;     /* bytes */
  uint32_t agent_pid;      /* in the agent's pid namespace */
  uint64_t time_namespace; /* inode of the agent's; 0: its kernel has none */
  char boot_id[40];        /* text, zero-terminated */
  uint8_t reserved0[56];
  /* Written by the producer. */
  uint64_t head;              /* events recorded, dropped ones not among them */
  uint64_t dropped;           /* events that found the ring full */
  uint64_t network_namespace; /* inode of the producer's; 0: not told */
  uint8_t reserved1[104];
  /* Written by the agent. */
  uint64_t tail; /* events that have been read */
  uint8_t reserved2[248];
};

/* The agent's one message to whoever connects. With error 0 it brings the ring's descriptor (SCM_RIGHTS). */
struct tw_events_hello {
  uint64_t magic; /* TW_EVENT_RING_MAGIC */
  int32_t error;  /* errno: why there is no ring */
  uint32_t reserved;
};

#ifdef __cplusplus
#define TW_EVENTS_ASSERT(holds, text) static_assert(holds, text)
#else
#define TW_EVENTS_ASSERT(holds, text) _Static_assert(holds, text)
#endif
#define TW_EVENTS_AT(type, field, bytes) TW_EVENTS_ASSERT(offsetof(struct type, field) == (bytes), #type "." #field)
TW_EVENTS_AT(tw_event, time_ns, 0);
TW_EVENTS_AT(tw_event, id, 8);
TW_EVENTS_AT(tw_event, destination, 16);
TW_EVENTS_AT(tw_event, port, 32);
TW_EVENTS_AT(tw_event, error, 34);
TW_EVENTS_AT(tw_event, kind, 36);
TW_EVENTS_AT(tw_event, outcome, 37);
TW_EVENTS_AT(tw_event, shadow_outcome, 38);
TW_EVENTS_AT(tw_event, reserved, 39);
TW_EVENTS_AT(tw_event, source, 40);
TW_EVENTS_AT(tw_event, schedule, 40);
TW_EVENTS_AT(tw_event, parent, 56);
TW_EVENTS_ASSERT(sizeof(struct tw_event) == 64, "tw_event");
TW_EVENTS_AT(tw_event_ring, version, 8);
TW_EVENTS_AT(tw_event_ring, capacity, 12);
TW_EVENTS_AT(tw_event_ring, event_size, 16);
TW_EVENTS_AT(tw_event_ring, agent_pid, 20);
TW_EVENTS_AT(tw_event_ring, time_namespace, 24);
TW_EVENTS_AT(tw_event_ring, boot_id, 32);
TW_EVENTS_AT(tw_event_ring, head, 128);
TW_EVENTS_AT(tw_event_ring, dropped, 136);
TW_EVENTS_AT(tw_event_ring, network_namespace, 144);
TW_EVENTS_AT(tw_event_ring, tail, 256);
TW_EVENTS_ASSERT(sizeof(struct tw_event_ring) == 512, "tw_event_ring");
TW_EVENTS_ASSERT(sizeof(struct tw_events_hello) == 16, "tw_events_hello");
#undef TW_EVENTS_AT
#undef TW_EVENTS_ASSERT

/* ---- How it is done ---------------------------------------------------------------------------------------------- */

#define TW_EVENTS_COLD __attribute__((cold, unused)) static

/* In memory that a child process finds empty: of capacity 0, without a ring. */
struct tw_events {
  struct tw_event* slots;
  uint64_t head;     /* as in the ring */
  uint64_t tail;     /* as it was when it was last looked at */
  uint64_t capacity; /* of the ring when it was attached: what it says later is not asked for */
  uint64_t dropped;  /* as in the ring */
  struct tw_event_ring* ring;
  size_t ring_bytes;
  int connection;
};

/* The ring is full, as far as is known: looks anew. 1 when there is room. */
TW_EVENTS_COLD int tw_events_make_room(struct tw_events* events) {
  struct tw_event_ring* const ring = events->ring;
  if (ring == NULL) return 0;
  events->tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
  if (events->head - events->tail < events->capacity) return 1;
  __atomic_store_n(&ring->dropped, ++events->dropped, __ATOMIC_RELAXED);
  return 0;
}

static inline int tw_events_record(struct tw_events* events, const struct tw_event* event) {
  if (events == NULL) return 0;
  const uint64_t head = events->head;
  if (__builtin_expect(head - events->tail >= events->capacity, 0)) {
    if (!tw_events_make_room(events)) return 0;
  }
  memcpy(&events->slots[head & (events->capacity - 1)], event, sizeof *event);
  events->head = head + 1;
  __atomic_store_n(&events->ring->head, head + 1, __ATOMIC_RELEASE);
  return 1;
}

static inline uint64_t tw_events_dropped(const struct tw_events* events) {
  return events == NULL ? 0 : events->dropped;
}

static inline int tw_events_connection(const struct tw_events* events) {
  return events == NULL || events->ring == NULL ? -1 : events->connection;
}

/* One of the two addresses of a route, and its port. */
static inline int tw_event_set_address(uint8_t* address, uint16_t* port, const struct sockaddr* from) {
  if (from->sa_family == AF_INET) {
    struct sockaddr_in v4;
    memcpy(&v4, from, sizeof v4);
    memset(address, 0, 10);
    memset(address + 10, 0xff, 2);
    memcpy(address + 12, &v4.sin_addr, 4);
    *port = ntohs(v4.sin_port);
    return 0;
  }
  if (from->sa_family == AF_INET6) {
    struct sockaddr_in6 v6;
    memcpy(&v6, from, sizeof v6);
    memcpy(address, &v6.sin6_addr, 16);
    *port = ntohs(v6.sin6_port);
    return 0;
  }
  return -EAFNOSUPPORT;
}

static inline int tw_event_set_route(struct tw_event* event, const struct sockaddr* source,
                                     const struct sockaddr* destination) {
  uint16_t ignored = 0;
  const int failed = tw_event_set_address(event->destination, &event->port, destination);
  if (failed != 0 || source == NULL) return failed;
  return tw_event_set_address(event->source, &ignored, source);
}

/* 1 when the ring's times would be those of another clock. */
TW_EVENTS_COLD int tw_events_is_foreign(const struct tw_event_ring* ring) {
  char boot_id[40];
  struct stat status;
  const int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  const ssize_t length = file < 0 ? 0 : read(file, boot_id, sizeof boot_id - 1);
  if (file >= 0) close(file);
  if (length <= 1) return 1;
  boot_id[length - 1] = '\0'; /* the end of the line */
  if (strncmp(boot_id, ring->boot_id, sizeof boot_id) != 0) return 1;
  return ring->time_namespace != (stat("/proc/self/ns/time", &status) == 0 ? (uint64_t)status.st_ino : 0);
}

/* Maps a ring that is one: nobody can shrink it, and it is as long as it says. */
TW_EVENTS_COLD int tw_events_map(int descriptor, struct tw_event_ring** result, size_t* bytes) {
  enum { kGetSeals = 1034, kShrink = 2 }; /* F_GET_SEALS, F_SEAL_SHRINK: only with _GNU_SOURCE */
  const int seals = fcntl(descriptor, kGetSeals);
  struct stat status;
  void* memory;
  const struct tw_event_ring* ring;
  if (seals < 0 || (seals & kShrink) == 0) return -EPROTO;
  if (fstat(descriptor, &status) != 0) return -errno;
  if (status.st_size < (off_t)sizeof(struct tw_event_ring)) return -EPROTO;
  *bytes = (size_t)status.st_size;
  memory = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED) return -errno;
  *result = (struct tw_event_ring*)memory;
  ring = *result;
  if (ring->magic != TW_EVENT_RING_MAGIC || ring->version != TW_EVENT_RING_VERSION ||
      ring->event_size != sizeof(struct tw_event) || ring->capacity == 0 ||
      ring->capacity > TW_EVENT_RING_MAX_CAPACITY || (ring->capacity & (ring->capacity - 1)) != 0 ||
      *bytes != sizeof(struct tw_event_ring) + ring->capacity * sizeof(struct tw_event)) {
    munmap(memory, *bytes);
    return -EPROTO;
  }
  return 0;
}

/* The producer's end, in a page that is wiped in a child process; the ring is not there at all. */
TW_EVENTS_COLD struct tw_events* tw_events_make(struct tw_event_ring* ring, size_t bytes) {
  enum { kWipeOnFork = 18 }; /* MADV_WIPEONFORK, Linux 4.14 */
  struct stat status;
  struct tw_events* events;
  size_t offset;
  void* const page = mmap(NULL, sizeof(struct tw_events), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return NULL;
  if (madvise(page, sizeof(struct tw_events), kWipeOnFork) != 0 || madvise(ring, bytes, MADV_DONTFORK) != 0) {
    const int failed = errno;
    munmap(page, sizeof(struct tw_events));
    errno = failed;
    return NULL;
  }
  /* No event meets a page for the first time. */
  for (offset = 0; offset < bytes; offset += 4096) {
    (void)__atomic_fetch_or((uint64_t*)(void*)((char*)ring + offset), 0, __ATOMIC_RELAXED);
  }
  events = (struct tw_events*)page;
  events->slots = (struct tw_event*)(void*)(ring + 1);
  events->head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
  events->tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
  events->capacity = ring->capacity;
  events->dropped = __atomic_load_n(&ring->dropped, __ATOMIC_RELAXED);
  events->ring = ring;
  events->ring_bytes = bytes;
  events->connection = -1;
  if (stat("/proc/self/ns/net", &status) == 0) {
    __atomic_store_n(&ring->network_namespace, (uint64_t)status.st_ino, __ATOMIC_RELAXED);
  }
  return events;
}

static inline int tw_events_attach(int descriptor, struct tw_events** events) {
  struct tw_event_ring* ring = NULL;
  size_t bytes = 0;
  int failed = tw_events_map(descriptor, &ring, &bytes);
  *events = NULL;
  if (failed != 0) return failed;
  if (tw_events_is_foreign(ring)) {
    failed = -EXDEV;
  } else {
    *events = tw_events_make(ring, bytes);
    if (*events != NULL) return 0;
    failed = -errno;
  }
  munmap(ring, bytes);
  return failed;
}

/* A connection to the agent; believed is one of root, of the caller's user, or of the socket's owner. */
TW_EVENTS_COLD int tw_events_connect(const char* path) {
  struct {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
  } peer; /* struct ucred: only with _GNU_SOURCE */
  socklen_t length = sizeof peer;
  struct sockaddr_un address;
  struct stat status;
  const struct timeval patience = {1, 0};
  int connection;
  int failed = 0;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, strlen(path) + 1);
  connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (connection < 0) return -errno;
  if (setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
      setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
      connect(connection, (const struct sockaddr*)&address, sizeof address) != 0 ||
      getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    failed = -errno;
  } else if (peer.uid != 0 && peer.uid != geteuid() && (stat(path, &status) != 0 || status.st_uid != peer.uid)) {
    failed = -EACCES;
  }
  if (failed == 0) return connection;
  close(connection);
  return failed;
}

/* The descriptor that came with the agent's message, or a negative errno. */
TW_EVENTS_COLD int tw_events_receive(int connection) {
  struct tw_events_hello hello;
  struct iovec part;
  struct msghdr message;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  const struct cmsghdr* rights;
  ssize_t received;
  int descriptor = -1;
  memset(&hello, 0, sizeof hello);
  memset(&message, 0, sizeof message);
  part.iov_base = &hello;
  part.iov_len = sizeof hello;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = CMSG_LEN(sizeof(int)); /* room for one, so that no second one is left open */
  do {
    received = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  rights = CMSG_FIRSTHDR(&message);
  if (rights != NULL && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
      rights->cmsg_len == CMSG_LEN(sizeof(int))) {
    memcpy(&descriptor, CMSG_DATA(rights), sizeof descriptor);
  }
  if (received == (ssize_t)sizeof hello && hello.magic == TW_EVENT_RING_MAGIC) {
    if (hello.error == 0 && descriptor >= 0) return descriptor;
    if (descriptor >= 0) close(descriptor);
    return hello.error > 0 && hello.error < 4096 ? -hello.error : -EPROTO;
  }
  if (descriptor >= 0) close(descriptor);
  return received == 0 ? -EAGAIN : -EPROTO;
}

static inline int tw_events_open(const char* path, struct tw_events** events) {
  const int connection = tw_events_connect(path);
  int descriptor;
  int failed;
  *events = NULL;
  if (connection < 0) return connection;
  descriptor = tw_events_receive(connection);
  failed = descriptor < 0 ? descriptor : tw_events_attach(descriptor, events);
  if (descriptor >= 0) close(descriptor);
  if (failed != 0) {
    close(connection);
    return failed;
  }
  (*events)->connection = connection;
  return 0;
}

static inline void tw_events_close(struct tw_events* events) {
  if (events == NULL) return;
  if (events->ring != NULL) {
    munmap(events->ring, events->ring_bytes);
    if (events->connection >= 0) close(events->connection);
  }
  munmap(events, sizeof *events);
}
