// SPDX-License-Identifier: Apache-2.0
//
// Datagrams of a dump, whatever they say: the parser reads nothing beyond them, and what it hands on keeps the
// conservation laws of the census. Input: flag byte, then the datagram.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "kernel/diag_wire.h"
#include "telemetry/census_builder.h"
#include "telemetry/pressure.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tidewaiter;
  if (size == 0) return 0;
  const std::uint8_t flags = data[0];
  // A heap copy of the exact size, so that one byte too far is seen.
  const std::vector<std::byte> datagram(reinterpret_cast<const std::byte*>(data) + 1,
                                        reinterpret_cast<const std::byte*>(data) + size);

  telemetry::ListenerBuilder listeners;
  static_cast<void>(kernel::parse_dump(datagram, 1, listeners));
  if ((flags & 1) != 0) listeners.expect_half_open();
  telemetry::PortSettings settings;
  settings.lo = 40'000;  // a short range: the inputs are short too
  settings.hi = 40'255;
  settings.reuse = static_cast<telemetry::TimeWaitReuse>(flags >> 1 & 1);
  telemetry::Sample sample;
  telemetry::CensusBuilder builder(settings, listeners);
  const auto chunk = kernel::parse_dump(datagram, 1, builder);
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
