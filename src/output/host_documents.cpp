// SPDX-License-Identifier: Apache-2.0
#include "output/host_documents.h"

#include <algorithm>
#include <optional>
#include <string>

namespace tidewaiter::output {
namespace {

template <class Value>
Document known(const std::optional<Value>& value) {
  return value ? Document(*value) : Document(nullptr);
}

double microseconds(base::Nanoseconds duration) { return std::chrono::duration<double, std::micro>(duration).count(); }

Document error_document(const std::optional<telemetry::LaunchError>& error) {
  if (!error) return nullptr;
  return {
      {"p50_us", microseconds(error->p50)}, {"p95_us", microseconds(error->p95)}, {"p99_us", microseconds(error->p99)}};
}

}  // namespace

Document handshakes_document(const telemetry::HostSignals& signals) {
  const telemetry::HandshakeDeltas& counters = signals.handshakes;
  const telemetry::ListenerDrops& drops = signals.drops;
  Document absent = Document::object();
  for (const auto& [field, reason] : drops.absent) absent[field] = reason;
  return {{"active_opens", known(counters.active_opens)},
          {"passive_opens", known(counters.passive_opens)},
          {"attempt_fails", known(counters.attempt_fails)},
          {"timeouts", known(counters.timeouts)},
          {"syn_retransmits", known(counters.syn_retransmits)},
          {"listen_overflows", known(counters.listen_overflows)},
          {"listen_drops", known(counters.listen_drops)},
          {"dropped_syns", known(drops.dropped_syns)},
          {"dropped_final_acks", known(drops.dropped_final_acks)},
          {"estimated_final_acks", known(drops.estimated_final_acks)},
          {"half_open_full", known(drops.half_open_full)},
          {"dropped_otherwise", known(drops.otherwise)},
          {"absent", std::move(absent)}};
}

Document cadence_document(const telemetry::HostSignals& signals) {
  if (!signals.programs) return nullptr;
  const telemetry::Cadence& cadence = signals.programs->cadence;
  return {{"sent", cadence.sent},
          {"launch_error", error_document(cadence.gross_error)},
          {"launch_error_net", error_document(cadence.net_error)},
          {"clumping_20ms", known(cadence.clumping_20ms)},
          {"clumping_100ms", known(cadence.clumping_100ms)},
          {"due", cadence.due},
          {"late", cadence.late},
          {"late_share", known(cadence.late_share)}};
}

Document programs_document(const telemetry::HostSignals& signals) {
  if (!signals.programs) return nullptr;
  const telemetry::Programs& programs = *signals.programs;
  return {{"rings", programs.rings},
          {"events", programs.events},
          {"dropped", programs.dropped},
          {"malformed", programs.malformed},
          {"foreign", programs.foreign},
          {"omitted", programs.omitted},
          {"decisions", programs.children.decisions},
          {"sent", programs.children.sent},
          {"failed", programs.children.failed},
          {"refused_by_budget", programs.refused}};
}

Document blind_document(const telemetry::HostSignals& signals) {
  if (!signals.bypass) return nullptr;
  const telemetry::BypassReport& bypass = *signals.bypass;
  Document processes = Document::array();
  for (const telemetry::BypassProcess& process : bypass.processes) {
    processes.push_back({{"pid", process.pid},
                         {"comm", process.comm},
                         {"kind", telemetry::name(process.kind)},
                         {"evidence", process.evidence}});
  }
  return {{"processes", std::move(processes)},
          {"exhaustive", bypass.is_exhaustive()},
          {"inspected", bypass.inspected},
          {"not_permitted", bypass.not_permitted},
          {"pending", bypass.pending}};
}

Document connect_hints_document(const telemetry::HostSignals& signals) {
  if (!signals.hints) return nullptr;
  const telemetry::ConnectHints& hints = *signals.hints;
  Document absent = Document::object();
  for (const auto& [field, reason] : hints.absent) absent[field] = reason;
  Document destinations = Document::array();
  for (const auto& row : hints.destinations) {
    destinations.push_back({{"dst", row.destination.to_string()},
                            {"established", row.established},
                            {"failed", row.failed},
                            {"addr_not_available", row.addr_not_available},
                            {"failed_before_syn", row.failed_before_syn}});
  }
  return {{"established_seen", hints.established_seen},
          {"failed_seen", hints.failed_seen},
          {"failed_unknown_tuple", hints.failed_unknown_tuple},
          {"lost", hints.lost},
          {"destinations", std::move(destinations)},
          {"absent", std::move(absent)}};
}

void add_programs(Document& tuple, const telemetry::Tuple& key, const telemetry::HostSignals* signals) {
  const bool is_heard = signals != nullptr && signals->programs.has_value();
  const telemetry::TuplePrograms* const found = is_heard ? signals->programs->find(key) : nullptr;
  const bool has_delay = found != nullptr && found->send_delay.has_value();
  tuple["dsd95_us"] = has_delay ? Document(found->send_delay->p95_us) : Document(nullptr);
  tuple["refused_by_budget"] = found != nullptr ? Document(found->refused) : Document(nullptr);
  tuple["retry_queue_depth"] = found != nullptr ? Document(found->retries_waiting) : Document(nullptr);
}

void add_absent_programs(Document& absent, const Document& tuples, const telemetry::HostSignals* signals) {
  const bool is_heard = signals != nullptr && signals->programs.has_value();
  const auto explain = [&](const std::string& field, const char* reason) {
    const bool is_null = std::any_of(tuples.begin(), tuples.end(), [&](const Document& tuple) {
      return tuple.contains(field) && tuple[field].is_null();
    });
    if (is_null) absent["tuples." + field] = is_heard ? reason : "programs cannot be heard (application_events)";
  };
  explain("dsd95_us", "no program told of sending to it lately");
  explain("refused_by_budget", "no program told anything of it");
  explain("retry_queue_depth", "no program told anything of it");
}

}  // namespace tidewaiter::output
