// SPDX-License-Identifier: Apache-2.0
#include "kernel/socket_decode.h"

#include <cstring>
#include <fmt/format.h>

#include "kernel/wire/socket_wire.h"

namespace tidewaiter::kernel {
namespace {

using telemetry::Address;
using telemetry::SocketRow;
using telemetry::TcpState;

bool is_known(const tw_socket_head& head) {
  return head.state >= static_cast<std::uint8_t>(TcpState::kEstablished) &&
         head.state <= static_cast<std::uint8_t>(TcpState::kNewSynReceived) && (head.flags & ~TW_SOCKET_FLAGS) == 0;
}

/// Everything but the addresses. `amount`: as the flags say.
SocketRow row_of(const tw_socket_head& head, std::uint32_t amount, Tick tick) {
  SocketRow row;
  row.cookie = head.cookie;
  row.local_port = head.local_port;
  row.remote_port = head.remote_port;
  row.state = static_cast<TcpState>(head.state);
  if ((head.flags & TW_SOCKET_MINI) != 0) {
    row.timer = telemetry::SocketTimer::kTimeWait;
    row.expires_ms = tick.milliseconds(amount);
  } else if ((head.flags & TW_SOCKET_WAITS) != 0) {
    row.last_data_sent_ms = tick.milliseconds(amount);
  } else if (row.state == TcpState::kListen) {
    row.half_open = amount;
  }
  if ((head.flags & TW_SOCKET_RETRANSMITTED) != 0) row.retransmits = 1;
  return row;
}

Address address_of(const __u8 (&bytes)[4]) {
  std::uint32_t network_order = 0;
  std::memcpy(&network_order, &bytes[0], sizeof network_order);
  return Address::v4_network_order(network_order);
}

Address address_of(const __u8 (&bytes)[16]) {
  Address::Bytes copy{};
  std::memcpy(copy.data(), &bytes[0], copy.size());
  return Address::v6(copy);
}

template <class Record>
void show(const std::byte* at, Tick tick, telemetry::RowSink& sink) {
  Record record;
  std::memcpy(&record, at, sizeof record);
  std::uint32_t amount = record.head.amount;
  if constexpr (requires { record.amount; }) amount = record.amount;
  SocketRow row = row_of(record.head, amount, tick);
  row.local = address_of(record.source);
  row.remote = address_of(record.destination);
  sink.on_row(row);
}

}  // namespace

base::Result<SocketChunk> parse_sockets(std::span<const std::byte> stream, Tick tick, telemetry::RowSink& sink) {
  SocketChunk chunk;
  tw_socket_head head{};
  while (stream.size() - chunk.bytes >= sizeof head) {
    const std::byte* const at = stream.data() + chunk.bytes;
    std::memcpy(&head, at, sizeof head);
    if (!is_known(head)) {
      return base::fail(base::ErrorCode::kMalformed,
                        fmt::format("a socket record has state {} and flags {}", head.state, head.flags));
    }
    const bool is_wide = (head.flags & TW_SOCKET_WIDE) != 0;
    const std::size_t length = is_wide ? sizeof(tw_socket_wide) : sizeof(tw_socket_v4);
    if (stream.size() - chunk.bytes < length) break;
    if (is_wide) {
      show<tw_socket_wide>(at, tick, sink);
    } else {
      show<tw_socket_v4>(at, tick, sink);
    }
    chunk.bytes += length;
    ++chunk.rows;
  }
  return chunk;
}

}  // namespace tidewaiter::kernel
