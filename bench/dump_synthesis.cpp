// SPDX-License-Identifier: Apache-2.0
#include "bench/dump_synthesis.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cassert>
#include <cstring>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <random>

#include "bench/dump_reader.h"
#include "bench/socket_farm.h"
#include "telemetry/port_plan.h"

namespace tidewaiter::bench {
namespace {

using telemetry::TcpState;

// The kernel allocates 32 KiB for a datagram; its own bookkeeping comes off.
constexpr std::size_t kDatagramBytes = 32 * 1024 - 320;

struct Attribute {
  std::uint16_t type;
  std::size_t bytes;
};

/// What a socket carries without being asked, in the kernel's order; the mark is for callers with CAP_NET_ADMIN.
std::vector<Attribute> attributes_of(TcpState state) {
  if (state == TcpState::kTimeWait) return {{INET_DIAG_MARK, 4}};
  return {{INET_DIAG_SHUTDOWN, 1}, {INET_DIAG_MARK, 4}, {INET_DIAG_CGROUP_ID, 8}, {INET_DIAG_SOCKOPT, 2}};
}

struct Ends {
  std::uint32_t local;  // host byte order
  std::uint32_t remote;
  std::uint16_t local_port;
  std::uint16_t remote_port;
  TcpState state;
};

void put(std::vector<std::byte>& bytes, const void* data, std::size_t size, std::size_t padded) {
  const std::size_t at = bytes.size();
  bytes.resize(at + padded);
  std::memcpy(bytes.data() + at, data, size);
}

std::vector<std::byte> message_of(std::uint16_t type, const std::vector<std::byte>& payload) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(sizeof header + payload.size());
  header.nlmsg_type = type;
  header.nlmsg_flags = NLM_F_MULTI;
  header.nlmsg_seq = DumpReader::kSequence;
  std::vector<std::byte> message;
  put(message, &header, sizeof header, sizeof header);
  put(message, payload.data(), payload.size(), NLMSG_ALIGN(payload.size()));
  return message;
}

std::vector<std::byte> row_of(const Ends& ends, std::uint32_t number, std::uint32_t expires_ms) {
  inet_diag_msg row{};
  row.idiag_family = AF_INET;
  row.idiag_state = static_cast<std::uint8_t>(ends.state);
  const bool is_time_wait = ends.state == TcpState::kTimeWait;
  if (is_time_wait) {
    row.idiag_timer = 3;
    row.idiag_expires = expires_ms;
  } else {
    row.idiag_inode = 100'000 + number;
  }
  row.id.idiag_src[0] = htonl(ends.local);
  row.id.idiag_dst[0] = htonl(ends.remote);
  row.id.idiag_sport = htons(ends.local_port);
  row.id.idiag_dport = htons(ends.remote_port);
  row.id.idiag_cookie[0] = number + 1;
  std::vector<std::byte> payload;
  put(payload, &row, sizeof row, sizeof row);
  for (const Attribute& attribute : attributes_of(ends.state)) {
    const nlattr header{static_cast<std::uint16_t>(NLA_HDRLEN + attribute.bytes), attribute.type};
    put(payload, &header, sizeof header, sizeof header);
    payload.resize(payload.size() + NLA_ALIGN(attribute.bytes));
  }
  return message_of(TCPDIAG_GETSOCK, payload);
}

Ends ends_of(const Synthesis& synthesis, std::size_t index) {
  constexpr std::uint32_t kSource = 0x7f000001;
  const auto remote = static_cast<std::uint32_t>(kSource + index % synthesis.tuples);
  const telemetry::PortSettings range;
  const auto port = static_cast<std::uint16_t>(range.lo + index / synthesis.tuples);
  assert(port <= range.hi);
  const std::size_t half = synthesis.sockets / 2;
  Ends ends{kSource, remote, port, SocketFarm::kPort, index < half ? TcpState::kTimeWait : TcpState::kEstablished};
  if (synthesis.with_server_ends && index >= half + half / 2) {
    std::swap(ends.local, ends.remote);
    std::swap(ends.local_port, ends.remote_port);
  }
  return ends;
}

}  // namespace

Datagrams synthesize(const Synthesis& synthesis) {
  std::mt19937 random(20'260'101);  // NOLINT: the same every time
  std::uniform_int_distribution<std::uint32_t> remaining(0, telemetry::kTimeWaitMs);
  std::vector<Ends> rows;
  for (std::size_t i = 0; i < synthesis.sockets; ++i) rows.push_back(ends_of(synthesis, i));
  std::shuffle(rows.begin(), rows.end(), random);

  Datagrams datagrams(1);
  std::uint32_t number = 0;
  for (const Ends& ends : rows) {
    const auto message = row_of(ends, ++number, remaining(random));
    if (datagrams.back().size() + message.size() > kDatagramBytes) datagrams.emplace_back();
    datagrams.back().insert(datagrams.back().end(), message.begin(), message.end());
  }
  datagrams.push_back(message_of(NLMSG_DONE, std::vector<std::byte>(sizeof(std::int32_t))));
  return datagrams;
}

DumpShape shape_of(const Datagrams& datagrams) {
  DumpShape shape;
  for (const auto& datagram : datagrams) {
    std::span<const std::byte> rest(datagram);
    while (rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr header{};
      std::memcpy(&header, rest.data(), sizeof header);
      const auto message = rest.first(std::min<std::size_t>(header.nlmsg_len, rest.size()));
      rest = rest.subspan(std::min<std::size_t>(rest.size(), NLMSG_ALIGN(std::max<std::size_t>(header.nlmsg_len, 1))));
      if (message.size() < sizeof header + sizeof(inet_diag_msg)) continue;
      const auto state = static_cast<unsigned>(message[sizeof header + offsetof(inet_diag_msg, idiag_state)]);
      auto attributes = message.subspan(sizeof header + sizeof(inet_diag_msg));
      std::vector<unsigned> types;
      while (attributes.size() >= sizeof(nlattr)) {
        nlattr attribute{};
        std::memcpy(&attribute, attributes.data(), sizeof attribute);
        types.push_back(attribute.nla_type);
        attributes = attributes.subspan(
            std::min<std::size_t>(attributes.size(), NLA_ALIGN(std::max<std::size_t>(attribute.nla_len, 1))));
      }
      shape[state].insert({message.size(), types});
    }
  }
  return shape;
}

}  // namespace tidewaiter::bench
