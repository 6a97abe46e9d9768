// SPDX-License-Identifier: Apache-2.0
#include "kernel/socket_change_decode.h"

#include <algorithm>
#include <cstring>

#include "kernel/wire/socket_change_wire.h"

namespace tidewaiter::kernel {
namespace {

using telemetry::SocketChange;

std::optional<SocketChange::Kind> kind_of(unsigned kind) {
  switch (kind) {
    case TW_SOCKET_OPENED:
      return SocketChange::Kind::kOpened;
    case TW_SOCKET_SYN_RETRANSMITTED:
      return SocketChange::Kind::kSynRetransmitted;
    case TW_SOCKET_TIME_WAIT:
      return SocketChange::Kind::kTimeWait;
    case TW_SOCKET_RELEASED:
      return SocketChange::Kind::kReleased;
    default:
      return std::nullopt;
  }
}

telemetry::Address address_of(const __u8 (&bytes)[16]) {
  telemetry::Address::Bytes copy;
  std::copy(std::begin(bytes), std::end(bytes), copy.begin());
  return telemetry::Address::v6(copy);
}

}  // namespace

std::optional<SocketChange> socket_change_of(std::span<const std::byte> bytes) {
  tw_socket_change wire{};
  if (bytes.size() != sizeof wire) return std::nullopt;
  std::memcpy(&wire, bytes.data(), sizeof wire);
  const auto kind = kind_of(wire.kind);
  if (!kind || wire.local_port == 0 || wire.remote_port == 0) return std::nullopt;
  SocketChange change;
  change.at = base::Instant(base::Nanoseconds(static_cast<std::int64_t>(wire.at_ns)));
  change.ticks = wire.jiffies;
  change.cookie = wire.cookie;
  change.tuple = {address_of(wire.source), address_of(wire.destination), wire.remote_port};
  change.local_port = wire.local_port;
  change.kind = *kind;
  return change;
}

}  // namespace tidewaiter::kernel
