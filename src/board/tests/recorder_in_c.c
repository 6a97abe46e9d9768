/* SPDX-License-Identifier: Apache-2.0 */
/* A producer in C, for event_ring_test.cpp: the header compiles as C11. */
#include <arpa/inet.h>
#include <tidewaiter/events.h>

int record_in_c(int descriptor, uint64_t id, int64_t time_ns);

/* What tw_events_record said, or a negative errno. */
int record_in_c(int descriptor, uint64_t id, int64_t time_ns) {
  struct tw_events* events = NULL;
  struct sockaddr_in destination;
  struct sockaddr_in6 source;
  struct tw_event event;
  int outcome = tw_events_attach(descriptor, &events);
  if (outcome != 0) return outcome;
  memset(&destination, 0, sizeof destination);
  destination.sin_family = AF_INET;
  destination.sin_port = htons(9000);
  destination.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  memset(&source, 0, sizeof source);
  source.sin6_family = AF_INET6;
  source.sin6_addr = in6addr_loopback;
  memset(&event, 0, sizeof event);
  outcome = tw_event_set_route(&event, (const struct sockaddr*)&source, (const struct sockaddr*)&destination);
  event.kind = TW_EVENT_SEND_ATTEMPT;
  event.id = id;
  event.time_ns = time_ns;
  if (outcome == 0) outcome = tw_events_record(events, &event);
  tw_events_close(events);
  return outcome;
}
