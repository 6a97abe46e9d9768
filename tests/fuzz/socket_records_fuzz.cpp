// SPDX-License-Identifier: Apache-2.0
//
// The stream of the socket iterator, whatever it says: the parser reads nothing beyond it, says the same however the
// stream is cut, and what it hands on keeps the conservation laws of the census. Input: flag byte, place of the cut,
// then the stream.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "kernel/socket_decode.h"
#include "telemetry/census_builder.h"
#include "telemetry/pressure.h"

namespace {

using namespace tidewaiter;

void require(bool holds) {
  if (!holds) std::abort();
}

std::vector<std::byte> copy_of(const std::uint8_t* begin, const std::uint8_t* end) {
  return {reinterpret_cast<const std::byte*>(begin), reinterpret_cast<const std::byte*>(end)};
}

class CookieSum final : public telemetry::RowSink {
 public:
  void on_row(const telemetry::SocketRow& row) override { sum = sum * 31 + row.cookie + row.local_port; }
  void on_restart() override {}
  std::uint64_t sum = 0;
};

void same_when_cut(const std::uint8_t* data, std::size_t size, std::size_t cut) {
  CookieSum whole;
  const auto all = kernel::parse_sockets(copy_of(data, data + size), kernel::Tick(250), whole);
  CookieSum parts;
  const auto first = kernel::parse_sockets(copy_of(data, data + cut), kernel::Tick(250), parts);
  if (!first) return require(!all);
  const auto rest = kernel::parse_sockets(copy_of(data + first->bytes, data + size), kernel::Tick(250), parts);
  require(rest.has_value() == all.has_value());
  require(whole.sum == parts.sum);
  if (all) require(all->rows == first->rows + rest->rows && all->bytes == first->bytes + rest->bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::uint8_t flags = data[0];
  same_when_cut(data + 2, size - 2, data[1] % (size - 1));

  telemetry::ListenerBuilder listeners;
  telemetry::SocketRow listening;
  listening.state = telemetry::TcpState::kListen;
  listening.local_port = 40'001;
  listening.receive_queue = 1;
  if ((flags & 1) != 0) listeners.on_row(listening);
  if ((flags & 2) != 0) listeners.expect_half_open();
  telemetry::PortSettings settings;
  settings.lo = 40'000;  // a short range: the inputs are short too
  settings.hi = 40'255;
  settings.reuse = static_cast<telemetry::TimeWaitReuse>(flags >> 2 & 1);
  telemetry::Sample sample;
  telemetry::CensusBuilder builder(settings, listeners);
  const auto chunk = kernel::parse_sockets(copy_of(data + 2, data + size), kernel::Tick(1 + flags), builder);
  builder.finish(sample);
  std::size_t ports = 0;
  for (const auto& tuple : sample.tuples) {
    const auto pressure = telemetry::pressure_of(tuple, sample.plan);
    ports += tuple.ports.size();
    require(pressure.free <= sample.plan.capacity() && pressure.free_preferred <= pressure.free);
    require(tuple.counts.live + tuple.counts.time_wait == tuple.ports.size());
  }
  if (chunk) require(ports <= chunk->rows);
  return 0;
}
