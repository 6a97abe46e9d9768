// SPDX-License-Identifier: Apache-2.0
#include "agent/board_records.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace tidewaiter::agent {
namespace {

double or_absent(const std::optional<double>& value) {
  return value.value_or(std::numeric_limits<double>::quiet_NaN());
}

tw_record record_of(const control::Modes& modes, control::State state, std::int64_t since_ns) {
  tw_record record{};
  record.state = static_cast<std::uint8_t>(state);
  record.connection_mode = static_cast<std::uint8_t>(modes.connection);
  record.order_mode = static_cast<std::uint8_t>(modes.order);
  record.since_ns = since_ns;
  return record;
}

}  // namespace

tw_tuple board_key(const telemetry::Tuple& tuple, const std::string& netns) {
  tw_tuple key{};
  std::copy(tuple.source.bytes().begin(), tuple.source.bytes().end(), key.source);
  std::copy(tuple.destination.bytes().begin(), tuple.destination.bytes().end(), key.destination);
  key.netns_hash = tw_netns_hash(netns.c_str());
  key.port = tuple.destination_port;
  return key;
}

tw_parameters board_parameters(const control::Parameters& parameters) {
  const auto& order = parameters.order;
  const auto& connection = parameters.connection;
  tw_parameters result{};
  result.clip_scale = order.clip_scale;
  result.catch_up_cap = or_absent(order.catch_up_cap);
  result.retry_rate_per_s = or_absent(connection.retry_rate_per_s);
  result.connect_rate_per_s = or_absent(connection.connect_rate_per_s);
  result.launch_jitter_max_ms =
      static_cast<std::uint32_t>(std::chrono::duration_cast<base::Milliseconds>(order.launch_jitter_max).count());
  result.retry_burst = static_cast<std::uint32_t>(std::lround(connection.retry_burst.value_or(0)));
  result.max_new_connects = static_cast<std::uint32_t>(connection.max_new_connects);
  result.pool_reuse = static_cast<std::uint8_t>(connection.pool_reuse);
  result.optional_reconnects = static_cast<std::uint8_t>(connection.optional_reconnects);
  result.non_urgent_flow = static_cast<std::uint8_t>(order.non_urgent_flow);
  result.urgency_override = static_cast<std::uint8_t>(order.urgency_override);
  return result;
}

tw_record board_host(const Snapshot& snapshot) {
  const control::HostDecision& host = snapshot.round.host;
  tw_record record =
      record_of(snapshot.setup->policy.modes, host.standing.state, host.since.time_since_epoch().count());
  record.p_stress = or_absent(host.p_stress);
  record.live = board_parameters(host.detected);
  record.enforced = board_parameters(host.enforced);
  record.stale = board_parameters(host.stale);
  return record;
}

std::vector<tw_record> board_tuples(const Snapshot& snapshot) {
  std::vector<const control::TupleDecision*> decisions;
  decisions.reserve(snapshot.round.tuples.size());
  for (const control::TupleDecision& tuple : snapshot.round.tuples) decisions.push_back(&tuple);
  const auto rank = [](const control::TupleDecision* tuple) {
    return std::pair(tuple->decision.standing.state, tuple->features.ppr.value_or(1.0));
  };
  std::stable_sort(decisions.begin(), decisions.end(),
                   [&](const auto* left, const auto* right) { return rank(left) > rank(right); });
  std::vector<tw_record> records;
  records.reserve(decisions.size());
  for (const control::TupleDecision* tuple : decisions) {
    const control::Decision& decision = tuple->decision;
    tw_record record =
        record_of(snapshot.setup->policy.modes, decision.standing.state, decision.since.time_since_epoch().count());
    record.key = board_key(tuple->tuple, snapshot.setup->identity.netns);
    record.p_stress = decision.stress ? decision.stress->probability : or_absent(std::nullopt);
    record.peer_fault = decision.has_peer_fault ? 1 : 0;
    record.live = board_parameters(decision.detected);
    record.enforced = board_parameters(decision.enforced);
    record.stale = board_parameters(decision.stale);
    records.push_back(record);
  }
  return records;
}

}  // namespace tidewaiter::agent
