// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "base/instant.h"
#include "lab/client_socket.h"
#include "lab/outcome_counts.h"

/// The ways in which the lab's clients connect, each with an end that is known beforehand. They run in a process of
/// their own (fork_inside) in the calling thread's network, and count what they saw.
namespace tidewaiter::lab {

struct Task {
  Endpoint to;
  std::uint32_t count = 1;       ///< how often
  std::uint16_t top_port = 0;    ///< the last one of the client's range
  std::uint16_t other_port = 0;  ///< one outside the range, to be bound
};

using Work = std::function<void(const Task&, OutcomeCounts&)>;

/// One after the other, each closed by reset. `protocol` as for socket().
void connect_in_turn(const Task& task, OutcomeCounts& counts);
void connect_in_turn_without_blocking(const Task& task, OutcomeCounts& counts);
void connect_in_turn_by_mptcp(const Task& task, OutcomeCounts& counts);
void connect_in_turn_by_io_uring(const Task& task, OutcomeCounts& counts);
void connect_udp_sockets(const Task& task, OutcomeCounts& counts);

/// Half of them as IPv4, half as v4-mapped IPv6.
void connect_in_both_families(const Task& task, OutcomeCounts& counts);

/// Again and again with one socket, however it fails.
void connect_one_socket(const Task& task, OutcomeCounts& counts);

/// All of them at once, with a socket option of TCP that ends their patience; waits for all.
[[nodiscard]] Work connect_together(int option, int value);

/// All of them at once, and closes them after `patience`: counted as EINPROGRESS, or as ETIME when the machine was too
/// busy to close them less than 400 ms late.
[[nodiscard]] Work give_up_after(base::Nanoseconds patience);

/// The same at once, by connect() to AF_UNSPEC.
void disconnect_at_once(const Task& task, OutcomeCounts& counts);

/// The same at once, by SIGKILL.
void die_in_syn_sent(const Task& task, OutcomeCounts& counts);

/// Takes every port for the destination, then `count` more.
void exhaust_ports(const Task& task, OutcomeCounts& counts);

/// One connection from `other_port`, then `count` more from there.
void collide(const Task& task, OutcomeCounts& counts);

/// One connection, then `count` sockets whose IP_LOCAL_PORT_RANGE is its port alone.
void probe_taken_port(const Task& task, OutcomeCounts& counts);

/// The same, but the socket is then pinned to a free port and connects.
void probe_taken_then_free_port(const Task& task, OutcomeCounts& counts);

/// Fast open (RFC 7413): data in the SYN; connect() that sends nothing until the first write, with and without one.
void send_by_fast_open(const Task& task, OutcomeCounts& counts);
void write_after_fast_open_connect(const Task& task, OutcomeCounts& counts);
void close_after_fast_open_connect(const Task& task, OutcomeCounts& counts);

/// Listens itself, connects, and closes the listener before it has accepted any.
void close_listener_with_pending_children(const Task& task, OutcomeCounts& counts);

}  // namespace tidewaiter::lab
