// SPDX-License-Identifier: Apache-2.0
#include "agent/journal_rows.h"

#include <string>
#include <utility>

#include "output/agent_documents.h"

namespace tidewaiter::agent {
namespace {

std::int64_t unix_ns(base::WallTime time) { return time.time_since_epoch().count(); }

store::Subject subject_of(const telemetry::Tuple& tuple, const std::string& netns) {
  return {"tuple", netns, tuple.source.to_string(), tuple.destination.to_string(), tuple.destination_port};
}

store::Subject host_of(const std::string& netns) { return {"host", netns, "", "", 0}; }

/// A STALE row ranks above all: a roll-up must not hide that nothing was seen.
int severity(const control::Standing& standing) {
  return standing.is_stale ? 4 : static_cast<int>(control::place(standing.state));
}

/// The state whose parameters are obeyed in some group.
std::string enforced_state(const Snapshot& snapshot, const control::Standing& standing) {
  const bool is_enforced = output::is_enforced(snapshot.setup->policy.modes);
  return std::string(is_enforced ? control::name(standing) : control::name(control::State::kGreen));
}

store::WindowRow row_of(const Snapshot& snapshot, const control::Standing& standing, store::Subject subject) {
  store::WindowRow row;
  row.window = snapshot.window;
  row.at_ns = unix_ns(snapshot.at.wall);
  row.subject = std::move(subject);
  row.state = std::string(control::name(standing));
  row.enforced_state = enforced_state(snapshot, standing);
  row.severity = severity(standing);
  row.stale = standing.is_stale;
  row.model = std::string(snapshot.setup->policy.stress_model->version);
  return row;
}

std::optional<double> seconds_of(const std::optional<model::Forecast>& forecast,
                                 std::optional<base::Nanoseconds> model::Forecast::*field) {
  if (!forecast || !((*forecast).*field)) return std::nullopt;
  return std::chrono::duration<double>(*((*forecast).*field)).count();
}

void fill(const output::TupleView& tuple, store::WindowRow& row) {
  const auto& outlook = tuple.outlook;
  row.ppr = outlook.pressure.ppr;
  row.ppr_preferred = outlook.pressure.ppr_preferred;
  row.twr = outlook.pressure.twr;
  row.live = tuple.sample->counts.live;
  row.time_wait = tuple.sample->counts.time_wait;
  row.free = outlook.pressure.free;
  row.demand_per_s = outlook.demand_per_s;
  row.time_to_cliff_s = seconds_of(outlook.forecast, &model::Forecast::time_to_cliff);
  row.time_to_exhaustion_s = seconds_of(outlook.forecast, &model::Forecast::time_to_exhaustion);
}

void fill(const telemetry::Features& features, store::WindowRow& row) {
  if (const auto& connects = features.pooled_connects; connects && connects->attempts > 0) {
    row.attempts = connects->attempts;
    row.cfr = static_cast<double>(connects->failed()) / connects->attempts;
    row.cfr_local = static_cast<double>(connects->failed_local) / connects->attempts;
  }
  if (features.connect_time) row.ctl95_us = features.connect_time->p95_us;
  row.rbi = features.burst_index;
  if (features.send_delay) row.dsd95_us = features.send_delay->p95_us;
  row.retry_queue_depth = features.retry_queue_depth;
}

std::optional<double> microseconds(const std::optional<telemetry::Quantile>& quantile) {
  if (!quantile) return std::nullopt;
  return std::chrono::duration<double, std::micro>(quantile->value).count();
}

/// The connects of this very window: null when its reading failed, when there was none before, and between windows, so
/// that none is counted twice.
const telemetry::Connects* connects_of(const Snapshot& snapshot) {
  if (snapshot.is_missed || !snapshot.look->connects) return nullptr;
  const telemetry::Connects& connects = *snapshot.look->connects;
  return connects.window && connects.at == snapshot.at.steady ? &connects : nullptr;
}

void fill(const telemetry::Connects& connects, store::WindowRow& row) {
  const telemetry::ConnectTotals& window = *connects.window;
  row.established = static_cast<double>(window.established);
  row.failed_local = static_cast<double>(window.failed_local());
  row.failed_peer = static_cast<double>(window.failed_peer());
  row.failed_other = static_cast<double>(window.failed_other());
  row.addr_not_available = static_cast<double>(window.count(telemetry::ConnectCause::kAddrNotAvailable));
  row.timeouts = static_cast<double>(window.count(telemetry::ConnectCause::kTimeout));
  row.retries = static_cast<double>(window.retries);
  row.syn_retransmits = static_cast<double>(window.syn_retransmits);
  row.reconnects_per_s = 0;
  for (const auto& [tuple, of_tuple] : connects.tuples) *row.reconnects_per_s += of_tuple.reconnects_per_s;
}

void fill(const telemetry::TupleConnects& connects, store::WindowRow& row) {
  row.established = static_cast<double>(connects.window_established);
  row.failed_local = connects.window.failed_local;
  row.failed_peer = connects.window.failed_peer;
  row.failed_other = connects.window.failed_other;
  row.addr_not_available = static_cast<double>(connects.window_portless);
  row.timeouts = static_cast<double>(connects.window_timeouts);
  row.retries = static_cast<double>(connects.window_retries);
  row.syn_retransmits = static_cast<double>(connects.window_syn_retransmits);
  row.reconnects_per_s = connects.reconnects_per_s;
  row.ctl99_us = microseconds(connects.connect_p99);
  row.port_search_p95_us = microseconds(connects.search_p95);
}

store::WindowRow host_row(const Snapshot& snapshot) {
  const control::HostDecision& host = snapshot.round.host;
  const std::string& netns = snapshot.setup->identity.netns;
  store::WindowRow row = row_of(snapshot, host.standing, host_of(netns));
  row.p_stress = host.p_stress;
  if (!snapshot.is_missed) {
    row.ppr = snapshot.look->census.host.ppr;
    row.twr = snapshot.look->census.host.twr;
  }
  if (const auto* const connects = connects_of(snapshot)) fill(*connects, row);
  row.reasons = output::reasons_document(host.reasons, host.subject, netns).dump();
  row.parameters = output::parameters_document(host.detected).dump();
  return row;
}

store::WindowRow tuple_row(const Snapshot& snapshot, const output::TupleView& tuple) {
  const std::string& netns = snapshot.setup->identity.netns;
  const telemetry::Tuple& key = tuple.sample->tuple;
  const control::TupleDecision* decided = snapshot.round.find(key);
  const control::Standing standing = decided == nullptr ? control::Standing{} : decided->decision.standing;
  store::WindowRow row = row_of(snapshot, standing, subject_of(key, netns));
  fill(tuple, row);
  if (const auto* const connects = connects_of(snapshot)) {
    const telemetry::TupleConnects* const found = connects->find(key);
    fill(found == nullptr ? telemetry::TupleConnects{} : *found, row);
  }
  if (decided == nullptr) return row;
  fill(decided->features, row);
  if (decided->decision.stress) row.p_stress = decided->decision.stress->probability;
  if (standing.state == control::State::kGreen) return row;
  row.reasons = output::reasons_document(decided->decision.reasons, std::nullopt, netns).dump();
  row.parameters = output::parameters_document(decided->decision.detected).dump();
  return row;
}

}  // namespace

JournalRows journal_rows(const Snapshot& snapshot, const output::SeriesLimit& series) {
  JournalRows rows;
  rows.windows.push_back(host_row(snapshot));
  if (!snapshot.is_missed) {
    for (const output::TupleView& tuple : snapshot.look->census.tuples) {
      const control::TupleDecision* decided = snapshot.round.find(tuple.sample->tuple);
      const bool is_calm = decided == nullptr || decided->decision.standing == control::Standing{};
      if (is_calm && !series.has(tuple.sample->tuple)) continue;
      rows.windows.push_back(tuple_row(snapshot, tuple));
    }
  }
  const output::AgentView view = snapshot.view();
  const control::Modes& modes = snapshot.setup->policy.modes;
  const std::string& netns = snapshot.setup->identity.netns;
  for (const output::TransitionView& transition : output::transitions_of(view)) {
    rows.transitions.push_back(
        {unix_ns(transition.at), snapshot.window,
         transition.subject ? subject_of(*transition.subject, netns) : host_of(netns),
         std::string(control::name(transition.transition.from)), std::string(control::name(transition.transition.to)),
         std::string(control::name(transition.transition.trigger)), std::string(control::name(modes.connection)),
         std::string(control::name(modes.order)), output::is_enforced(modes),
         output::reasons_document(transition.transition.reasons, transition.cause, netns).dump()});
  }
  return rows;
}

}  // namespace tidewaiter::agent
