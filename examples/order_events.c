/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the agent of some child orders, as an execution program would: order_events SOCKET [CHILDREN [EVERY_US]]
 *
 *   cc -O2 -Iinclude examples/order_events.c -o order_events
 *   ./order_events /var/lib/tidewaiter/events.sock 1000 500
 *
 * Nothing is sent anywhere; the places where a program would are marked.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <tidewaiter/events.h>

static void sleep_until(int64_t time_ns) {
  struct timespec time;
  time.tv_sec = (time_t)(time_ns / 1000000000);
  time.tv_nsec = (long)(time_ns % 1000000000);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {
  }
}

/* The route of everything that goes over one connection; its parts are known once it is established. */
static struct tw_event route_to_venue(void) {
  struct tw_event route;
  struct sockaddr_in local;
  struct sockaddr_in venue;
  memset(&route, 0, sizeof route);
  memset(&local, 0, sizeof local);
  memset(&venue, 0, sizeof venue);
  local.sin_family = venue.sin_family = AF_INET;
  local.sin_addr.s_addr = venue.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  venue.sin_port = htons(9000);
  tw_event_set_route(&route, (const struct sockaddr*)&local, (const struct sockaddr*)&venue);
  return route;
}

/* One child: decided, sent, and filled. */
static void work(struct tw_events* events, const struct tw_event* route, uint64_t id, struct tw_schedule schedule) {
  struct tw_event event = *route;
  event.kind = TW_EVENT_DECISION;
  event.id = id;
  event.time_ns = tw_events_now();
  event.schedule = schedule;
  event.parent = 1;
  tw_events_record(events, &event);

  sleep_until(schedule.scheduled_ns);

  event = *route;
  event.kind = TW_EVENT_SEND_ATTEMPT;
  event.id = id;
  event.time_ns = tw_events_now();
  event.gate_delay_ns = 0; /* nothing held it back on purpose */
  tw_events_record(events, &event);

  /* Here a program calls send(). When the socket will not take the order and it is given up:
   * kind = TW_EVENT_SEND_FAILED, error = errno. */

  event.kind = TW_EVENT_SENT;
  event.time_ns = tw_events_now();
  tw_events_record(events, &event);

  event.kind = TW_EVENT_FILL;
  event.time_ns = tw_events_now();
  event.quantity = 100;
  tw_events_record(events, &event);
}

int main(int argc, char** argv) {
  const uint64_t children = argc > 2 ? strtoull(argv[2], NULL, 10) : 10;
  const int64_t every_ns = 1000 * (argc > 3 ? strtoll(argv[3], NULL, 10) : 1000);
  const struct tw_event route = route_to_venue();
  struct tw_events* events = NULL;
  struct tw_schedule schedule;
  uint64_t id;
  int failed;
  if (argc < 2) {
    fprintf(stderr, "usage: %s SOCKET [CHILDREN [EVERY_US]]\n", argv[0]);
    return 2;
  }
  failed = tw_events_open(argv[1], &events);
  if (failed != 0) {
    fprintf(stderr, "%s: no event ring from %s: %s\n", argv[0], argv[1], strerror(-failed));
    return 3;
  }
  schedule.scheduled_ns = tw_events_now();
  for (id = 1; id <= children; ++id) {
    schedule.scheduled_ns += every_ns;
    schedule.slice_end_ns = schedule.scheduled_ns + every_ns;
    work(events, &route, id, schedule);
  }
  printf("%llu events, %llu of them dropped\n", (unsigned long long)(4 * children),
         (unsigned long long)tw_events_dropped(events));
  tw_events_close(events);
  return 0;
}
