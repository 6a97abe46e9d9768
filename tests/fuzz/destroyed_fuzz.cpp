// SPDX-License-Identifier: Apache-2.0
//
// Datagrams of the multicast group that tells of the ends of sockets, whatever they say: the parser reads nothing
// beyond them, and every socket is counted once. Input: flag byte, then the datagram.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "kernel/diag_wire.h"
#include "telemetry/connect_hints.h"

namespace {

using namespace tidewaiter;

void require(bool holds) {
  if (!holds) std::abort();
}

class Fold final : public kernel::DestroyedSink {
 public:
  explicit Fold(const telemetry::PortPlan& plan) : plan_(plan) {}
  void on_destroyed(const telemetry::DestroyedSocket& socket) override {
    ++sockets;
    builder.add(socket, plan_);
  }
  std::uint64_t sockets = 0;
  telemetry::ConnectHintBuilder builder;

 private:
  const telemetry::PortPlan& plan_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // A heap copy of the exact size, so that one byte too far is seen.
  const std::vector<std::byte> datagram(reinterpret_cast<const std::byte*>(data) + 1,
                                        reinterpret_cast<const std::byte*>(data) + size);
  telemetry::PortSettings settings;
  if ((data[0] & 1) != 0) settings.lo = settings.hi;
  const telemetry::PortPlan plan(settings, {});
  Fold fold(plan);
  const auto chunk = kernel::parse_destroyed(datagram, fold);
  if (chunk) require(chunk->sockets == fold.sockets);
  const auto hints = fold.builder.take(0);
  require(hints.established_seen + hints.failed_seen + hints.failed_unknown_tuple + hints.never_connected +
              hints.not_outbound + hints.not_known ==
          fold.sockets);
  std::uint64_t listed = hints.unlisted;
  for (const auto& row : hints.tuples) listed += row.established + row.failed;
  for (const auto& row : hints.destinations) {
    listed += row.established + row.failed + row.addr_not_available + row.failed_before_syn;
  }
  require(listed == hints.established_seen + hints.failed_seen + hints.failed_unknown_tuple);
  return 0;
}
