// SPDX-License-Identifier: Apache-2.0
//
// Records of the BPF rings, whatever they say: decoders read nothing beyond them, and a ledger that is told anything in
// any order, dumps in between, keeps its counts. Input: a sequence of (kind byte, record of 64 or 80 bytes).
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "kernel/connect_decode.h"
#include "kernel/socket_change_decode.h"
#include "kernel/wire/socket_change_wire.h"
#include "telemetry/socket_ledger.h"

namespace {

using namespace tidewaiter;

void require(bool holds) {
  if (!holds) std::abort();
}

telemetry::SocketRow row_of(const telemetry::SocketChange& change, std::uint8_t state) {
  telemetry::SocketRow row;
  row.local = change.tuple.source;
  row.remote = change.tuple.destination;
  row.local_port = change.local_port;
  row.remote_port = change.tuple.destination_port;
  row.cookie = change.cookie;
  row.state = static_cast<telemetry::TcpState>(1 + state % 13);
  row.expires_ms = static_cast<std::uint32_t>(change.ticks);
  if (row.state == telemetry::TcpState::kTimeWait) row.timer = telemetry::SocketTimer::kTimeWait;
  return row;
}

void check(telemetry::SocketLedger& ledger, base::Instant now) {
  telemetry::Sample sample;
  sample.at.steady = now;
  ledger.fill(sample, 0);
  std::size_t ports = 0;
  for (const telemetry::TupleSample& tuple : sample.tuples) {
    require(tuple.counts.live + tuple.counts.time_wait == tuple.ports.size());
    ports += tuple.ports.size() + tuple.counts.outside_range;
  }
  require(ports <= ledger.sockets());
  require(sample.in_range_time_wait <= sample.in_range && sample.in_range <= ledger.sockets());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  telemetry::PortSettings settings;
  settings.lo = 0x2000;
  settings.hi = 0x9fff;
  telemetry::PortSet listening;
  listening.set(0x3030);
  telemetry::SocketLedger ledger(250);
  base::Instant now{base::Seconds(1'000)};
  ledger.reset(telemetry::PortPlan(settings, listening), listening, now);
  bool is_dumping = false;
  while (size > 1) {
    const std::uint8_t what = data[0];
    const std::size_t length = std::min<std::size_t>(size - 1, (what & 1) != 0 ? 80 : sizeof(tw_socket_change));
    // A heap copy of the exact size, so that one byte too far is seen.
    const std::vector<std::byte> record(reinterpret_cast<const std::byte*>(data) + 1,
                                        reinterpret_cast<const std::byte*>(data) + 1 + length);
    data += 1 + length;
    size -= 1 + length;
    static_cast<void>(kernel::event_of(record));
    auto change = kernel::socket_change_of(record);
    if (!change) continue;
    now += base::Milliseconds(what);
    change->at = now;
    change->cookie %= 8;
    if ((what & 2) != 0 && !is_dumping) {
      ledger.begin_dump(now);
      is_dumping = true;
    }
    if (is_dumping && (what & 4) != 0) {
      ledger.on_row(row_of(*change, what >> 3));
    } else {
      ledger.apply(*change);
    }
    if ((what & 128) != 0 && is_dumping) {
      static_cast<void>(ledger.end_dump());
      is_dumping = false;
    }
    check(ledger, now);
  }
  return 0;
}
