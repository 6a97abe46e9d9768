// SPDX-License-Identifier: Apache-2.0
#include "lab/outcome_work.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "lab/clock.h"
#include "lab/connect_ring.h"
#include "lab/echo_server.h"

namespace tidewaiter::lab {
namespace {

using base::FileDescriptor;

constexpr base::Nanoseconds kLate = base::Milliseconds(400);
constexpr int kLocalPortRange = 51;  // IP_LOCAL_PORT_RANGE of Linux 6.3, at SOL_IP for IPv6 sockets too

int connect(const FileDescriptor& socket, const SocketAddress& to) {
  return ::connect(socket.get(), to.get(), to.length) == 0 ? 0 : errno;
}

/// Waits for the end of a connect that did not block.
int end_of(const FileDescriptor& socket) {
  pollfd watched{socket.get(), POLLOUT, 0};
  while (poll(&watched, 1, -1) < 0) {
  }
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

void set_option(const FileDescriptor& socket, int option, int value) {
  setsockopt(socket.get(), IPPROTO_TCP, option, &value, sizeof value);
}

/// False where the kernel cannot do it.
bool pin(const FileDescriptor& socket, std::uint16_t port) {
  const std::uint32_t range = static_cast<std::uint32_t>(port) << 16 | port;
  return setsockopt(socket.get(), IPPROTO_IP, kLocalPortRange, &range, sizeof range) == 0;
}

void connect_each(const Task& task, OutcomeCounts& counts, int protocol) {
  const SocketAddress to = socket_address(task.to);
  for (std::uint32_t i = 0; i < task.count; ++i) {
    FileDescriptor socket(::socket(to.family(), SOCK_STREAM, protocol));
    if (!socket.is_open()) return counts.skip(errno);
    counts.add(connect(socket, to));
    close_by_reset(std::move(socket));
  }
}

/// Sockets that wait for their SYN to be answered.
std::vector<FileDescriptor> begin_connects(const Task& task, int option = 0, int value = 0) {
  const SocketAddress to = socket_address(task.to);
  std::vector<FileDescriptor> sockets;
  for (std::uint32_t i = 0; i < task.count; ++i) {
    sockets.push_back(open_socket(task.to, SOCK_NONBLOCK));
    if (option != 0) set_option(sockets.back(), option, value);
    static_cast<void>(connect(sockets.back(), to));
  }
  return sockets;
}

}  // namespace

void connect_in_turn(const Task& task, OutcomeCounts& counts) { connect_each(task, counts, 0); }
void connect_in_turn_by_mptcp(const Task& task, OutcomeCounts& counts) { connect_each(task, counts, IPPROTO_MPTCP); }

void connect_in_turn_without_blocking(const Task& task, OutcomeCounts& counts) {
  const SocketAddress to = socket_address(task.to);
  for (std::uint32_t i = 0; i < task.count; ++i) {
    FileDescriptor socket = open_socket(task.to, SOCK_NONBLOCK);
    const int error = connect(socket, to);
    counts.add(error == EINPROGRESS ? end_of(socket) : error);
    close_by_reset(std::move(socket));
  }
}

void connect_in_turn_by_io_uring(const Task& task, OutcomeCounts& counts) {
  auto ring = ConnectRing::create();
  if (!ring) return counts.skip(ring.error().system_errno);
  const SocketAddress to = socket_address(task.to);
  for (std::uint32_t i = 0; i < task.count; ++i) {
    FileDescriptor socket = open_socket(task.to, 0);
    counts.add(ring->connect(socket, to));
    close_by_reset(std::move(socket));
  }
}

void connect_udp_sockets(const Task& task, OutcomeCounts& counts) {
  const SocketAddress to = socket_address(task.to);
  for (std::uint32_t i = 0; i < task.count; ++i) {
    counts.add(connect(FileDescriptor(::socket(to.family(), SOCK_DGRAM, 0)), to));
  }
}

void connect_in_both_families(const Task& task, OutcomeCounts& counts) {
  for (std::uint32_t i = 0; i < task.count; ++i) {
    const SocketAddress to = i % 2 == 0 ? socket_address(task.to) : ipv6_socket_address(task.to);
    FileDescriptor socket(::socket(to.family(), SOCK_STREAM, 0));
    counts.add(connect(socket, to));
    close_by_reset(std::move(socket));
  }
}

void connect_one_socket(const Task& task, OutcomeCounts& counts) {
  const SocketAddress to = socket_address(task.to);
  const FileDescriptor socket = open_socket(task.to, 0);
  for (std::uint32_t i = 0; i < task.count; ++i) counts.add(connect(socket, to));
}

Work connect_together(int option, int value) {
  return [option, value](const Task& task, OutcomeCounts& counts) {
    for (const FileDescriptor& socket : begin_connects(task, option, value)) counts.add(end_of(socket));
  };
}

Work give_up_after(base::Nanoseconds patience) {
  return [patience](const Task& task, OutcomeCounts& counts) {
    const base::Instant began = read_clock();
    auto sockets = begin_connects(task);
    // Nothing but the time is waited for. NOLINTNEXTLINE
    ::poll(nullptr, 0, static_cast<int>(std::chrono::ceil<base::Milliseconds>(patience).count()));
    const auto count = sockets.size();
    sockets.clear();
    const bool is_late = read_clock() - began > patience + kLate;
    for (std::size_t i = 0; i < count; ++i) counts.add(is_late ? ETIME : EINPROGRESS);
  };
}

void disconnect_at_once(const Task& task, OutcomeCounts& counts) {
  SocketAddress nowhere;
  nowhere.storage.ss_family = AF_UNSPEC;
  nowhere.length = sizeof(sockaddr);
  for (const FileDescriptor& socket : begin_connects(task)) {
    counts.add(connect(socket, nowhere) == 0 ? EINPROGRESS : errno);
  }
}

void die_in_syn_sent(const Task& task, OutcomeCounts& counts) {
  const auto sockets = begin_connects(task);
  for (std::size_t i = 0; i < sockets.size(); ++i) counts.add(EINPROGRESS);
  kill(getpid(), SIGKILL);
}

void exhaust_ports(const Task& task, OutcomeCounts& counts) {
  allow_many_descriptors();
  const SocketAddress to = socket_address(task.to);
  std::vector<FileDescriptor> held;
  for (std::uint32_t failed = 0; failed < task.count;) {
    FileDescriptor socket = open_socket(task.to, 0);
    const int error = connect(socket, to);
    counts.add(error);
    if (error != 0) {
      ++failed;
    } else {
      held.push_back(std::move(socket));
    }
  }
  for (FileDescriptor& socket : held) close_by_reset(std::move(socket));
}

void collide(const Task& task, OutcomeCounts& counts) {
  const SocketAddress to = socket_address(task.to);
  const SocketAddress from = socket_address({task.to.address, task.other_port});
  std::vector<FileDescriptor> sockets;
  for (std::uint32_t i = 0; i <= task.count; ++i) {
    sockets.push_back(open_socket(task.to, 0));
    const int on = 1;
    setsockopt(sockets.back().get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(sockets.back().get(), from.get(), from.length) != 0) return counts.skip(errno);
    counts.add(connect(sockets.back(), to));
  }
  for (FileDescriptor& socket : sockets) close_by_reset(std::move(socket));
}

void probe_taken_port(const Task& task, OutcomeCounts& counts) {
  const SocketAddress to = socket_address(task.to);
  FileDescriptor holder = open_socket(task.to, 0);
  counts.add(connect(holder, to));
  for (std::uint32_t i = 0; i < task.count; ++i) {
    const FileDescriptor socket = open_socket(task.to, 0);
    if (!pin(socket, local_port_of(holder))) return counts.skip(errno);
    counts.add(connect(socket, to));
  }
  close_by_reset(std::move(holder));
}

void probe_taken_then_free_port(const Task& task, OutcomeCounts& counts) {
  const SocketAddress to = socket_address(task.to);
  FileDescriptor holder = open_socket(task.to, 0);
  if (!pin(holder, task.top_port)) return counts.skip(errno);
  counts.add(connect(holder, to));
  for (std::uint32_t i = 1; i <= task.count; ++i) {
    FileDescriptor socket = open_socket(task.to, 0);
    static_cast<void>(pin(socket, task.top_port));
    counts.add(connect(socket, to));
    static_cast<void>(pin(socket, static_cast<std::uint16_t>(task.top_port - i)));
    counts.add(connect(socket, to));
    close_by_reset(std::move(socket));
  }
  close_by_reset(std::move(holder));
}

void send_by_fast_open(const Task& task, OutcomeCounts& counts) {
  const SocketAddress to = socket_address(task.to);
  for (std::uint32_t i = 0; i < task.count; ++i) {
    FileDescriptor socket = open_socket(task.to, 0);
    char byte = 'x';
    const bool is_sent = ::sendto(socket.get(), &byte, 1, MSG_FASTOPEN | MSG_NOSIGNAL, to.get(), to.length) == 1;
    counts.add(is_sent && ::recv(socket.get(), &byte, 1, 0) == 1 ? 0 : errno);
    close_by_reset(std::move(socket));
  }
}

void write_after_fast_open_connect(const Task& task, OutcomeCounts& counts) {
  const SocketAddress to = socket_address(task.to);
  for (std::uint32_t i = 0; i < task.count; ++i) {
    FileDescriptor socket = open_socket(task.to, 0);
    set_option(socket, TCP_FASTOPEN_CONNECT, 1);
    counts.add(connect(socket, to) == 0 && exchange(socket) ? 0 : errno);
    close_by_reset(std::move(socket));
  }
}

void close_after_fast_open_connect(const Task& task, OutcomeCounts& counts) {
  const SocketAddress to = socket_address(task.to);
  for (std::uint32_t i = 0; i < task.count; ++i) {
    const FileDescriptor socket = open_socket(task.to, 0);
    set_option(socket, TCP_FASTOPEN_CONNECT, 1);
    counts.add(connect(socket, to));
  }
}

void close_listener_with_pending_children(const Task& task, OutcomeCounts& counts) {
  auto listener = listen_on(task.to);
  if (!listener) return counts.skip(listener.error().system_errno);
  const auto sockets = begin_connects(task);
  for (const FileDescriptor& socket : sockets) counts.add(end_of(socket));
  listener->reset();
}

}  // namespace tidewaiter::lab
