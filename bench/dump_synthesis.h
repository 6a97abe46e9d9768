// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace tidewaiter::bench {

using Datagrams = std::vector<std::vector<std::byte>>;

/// Which sockets a made-up dump lists.
struct Synthesis {
  std::size_t sockets = 0;
  std::size_t tuples = 1;         ///< destinations, over which the sockets are dealt out evenly
  bool with_server_ends = false;  ///< half of the established ones are the ends of a listener on port 9000
};

/// The datagrams of a dump as Linux 6.18 sends them: half of the rows TIME_WAIT, half established, in no order, up to
/// 32 KiB per datagram, "done" in one of its own. Always the same ones. At most 28,232 sockets per tuple.
[[nodiscard]] Datagrams synthesize(const Synthesis& synthesis);

/// Of each state: the lengths of its messages, and the attributes that they carry. Two dumps of the same shape take
/// the same way through the parser.
using DumpShape = std::map<unsigned, std::set<std::pair<std::size_t, std::vector<unsigned>>>>;
[[nodiscard]] DumpShape shape_of(const Datagrams& datagrams);

}  // namespace tidewaiter::bench
