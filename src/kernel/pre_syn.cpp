// SPDX-License-Identifier: Apache-2.0
#include "kernel/pre_syn.h"

#include <algorithm>

namespace tidewaiter::kernel {
namespace {

std::int64_t difference(std::uint64_t entered, std::uint64_t reached) {
  return static_cast<std::int64_t>(entered) - static_cast<std::int64_t>(reached);
}

}  // namespace

void PreSyn::update(const telemetry::Tuple& destination, const PreSynCounters& counters) {
  State& state = destinations_[destination];
  state.zero = std::min(state.zero, difference(counters.entered, counters.reached));
  const std::int64_t seen = difference(counters.entered, counters.reached_later) - state.zero;
  const std::int64_t certain = std::max<std::int64_t>(std::min(seen, state.last), 0);
  state.believed = std::max(state.believed, static_cast<std::uint64_t>(certain));
  state.last = seen;
}

bool PreSyn::is_worth_a_later_look(const telemetry::Tuple& destination, std::uint64_t entered,
                                   std::uint64_t reached) const {
  const auto state = destinations_.find(destination);
  if (state == destinations_.end()) return entered != reached;
  return difference(entered, reached) - state->second.zero != static_cast<std::int64_t>(state->second.believed);
}

std::uint64_t PreSyn::failed(const telemetry::Tuple& destination) const {
  const auto state = destinations_.find(destination);
  return state == destinations_.end() ? 0 : state->second.believed;
}

}  // namespace tidewaiter::kernel
