// SPDX-License-Identifier: Apache-2.0
#include "telemetry/connect_hints.h"

#include <algorithm>
#include <utility>

namespace tidewaiter::telemetry {
namespace {

/// The end of a socket that was disconnected: the peer's port is erased.
SocketFate fate_of_disconnected(const DestroyedSocket& socket) {
  if (!socket.advertised_mss) return SocketFate::kNotKnown;
  if (*socket.advertised_mss == 0) {
    return socket.is_ipv6_socket ? SocketFate::kFailedBeforeSyn : SocketFate::kAddrNotAvailable;
  }
  if (!socket.last_data_received_ms || !socket.last_ack_received_ms) return SocketFate::kNotKnown;
  return *socket.last_ack_received_ms == *socket.last_data_received_ms ? SocketFate::kFailed : SocketFate::kEstablished;
}

std::map<std::string, std::string> absent_at_this_tier() {
  std::map<std::string, std::string> absent;
  for (const char* field : {"tuples.attempts", "tuples.cfr", "tuples.cfr_local"}) {
    absent[field] =
        "the end of a socket tells neither of repeated connects nor, after one that blocked, of the port: "
        "needs connect events (tier 1 or 2)";
  }
  for (const char* field : {"failures.refused", "failures.timeout", "failures.reset", "failures.unreachable",
                            "failures.denied", "failures.aborted"}) {
    absent[field] = "the end of a socket has no error number: needs connect events (tier 1 or 2)";
  }
  for (const char* field : {"tuples.ctl95_us", "port_search_us"}) {
    absent[field] = "the end of a socket has no time of its connect: needs connect events (tier 1 or 2)";
  }
  absent["tuples.rbi"] = "the end of a socket has no process: needs connect events (tier 1 or 2)";
  return absent;
}

/// The row of `key`, made where there is room for one; null: there is none.
template <class Rows, class Key, class Row>
Row* row_of(Rows& rows, const Key& key, Row fresh) {
  if (const auto found = rows.find(key); found != rows.end()) return &found->second;
  if (rows.size() >= ConnectHintBuilder::kMostRows) return nullptr;
  return &rows.emplace(key, std::move(fresh)).first->second;
}

}  // namespace

SocketFate fate_of(const DestroyedSocket& socket) {
  if (socket.remote.is_unspecified()) return SocketFate::kNeverConnected;
  if (socket.bytes_acked.value_or(0) > 0 || socket.rtt_us.value_or(0) > 0) return SocketFate::kEstablished;
  if (socket.remote_port == 0) return fate_of_disconnected(socket);
  if (!socket.bytes_acked || !socket.rtt_us) return SocketFate::kNotKnown;
  return SocketFate::kFailed;
}

void ConnectHintBuilder::add(const DestroyedSocket& socket, const PortPlan& plan) {
  const SocketFate fate = fate_of(socket);
  if (fate == SocketFate::kNeverConnected) {
    ++totals_.never_connected;
  } else if (socket.local_port != 0 && !plan.is_usable(socket.local_port)) {
    ++totals_.not_outbound;
  } else if (fate == SocketFate::kNotKnown) {
    ++totals_.not_known;
  } else if (socket.remote_port != 0) {
    add_with_tuple(socket, fate == SocketFate::kEstablished);
  } else {
    add_disconnected(socket, fate);
  }
}

void ConnectHintBuilder::add_with_tuple(const DestroyedSocket& socket, bool is_established) {
  ++(is_established ? totals_.established_seen : totals_.failed_seen);
  const Tuple tuple{socket.local, socket.remote, socket.remote_port};
  if (auto* const row = row_of(tuples_, tuple, ConnectHints::OfTuple{tuple})) {
    ++(is_established ? row->established : row->failed);
  } else {
    ++totals_.unlisted;
  }
}

void ConnectHintBuilder::add_disconnected(const DestroyedSocket& socket, SocketFate fate) {
  ++(fate == SocketFate::kEstablished ? totals_.established_seen : totals_.failed_unknown_tuple);
  auto* const row = row_of(destinations_, socket.remote, ConnectHints::OfDestination{socket.remote});
  if (row == nullptr) {
    ++totals_.unlisted;
    return;
  }
  if (fate == SocketFate::kEstablished) ++row->established;
  if (fate == SocketFate::kFailed) ++row->failed;
  if (fate == SocketFate::kAddrNotAvailable) ++row->addr_not_available;
  if (fate == SocketFate::kFailedBeforeSyn) ++row->failed_before_syn;
}

ConnectHints ConnectHintBuilder::take(std::uint64_t lost) {
  ConnectHints hints = std::exchange(totals_, {});
  hints.lost = lost;
  hints.absent = absent_at_this_tier();
  for (const auto& [tuple, row] : tuples_) hints.tuples.push_back(row);
  std::sort(hints.tuples.begin(), hints.tuples.end(),
            [](const auto& left, const auto& right) { return left.tuple < right.tuple; });
  for (const auto& [destination, row] : destinations_) hints.destinations.push_back(row);
  tuples_.clear();
  destinations_.clear();
  return hints;
}

}  // namespace tidewaiter::telemetry
