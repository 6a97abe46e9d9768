// SPDX-License-Identifier: Apache-2.0
#include "output/agent_documents.h"

#include <algorithm>
#include <bitset>
#include <cmath>
#include <utility>

#include "output/connect_documents.h"
#include "output/host_documents.h"

namespace tidewaiter::output {
namespace {

template <class Value>
Document known(const std::optional<Value>& value) {
  return value ? Document(*value) : Document(nullptr);
}

/// JSON has no infinity: "never" is null, as in the census.
Document finite(double value) { return std::isfinite(value) ? Document(value) : Document(nullptr); }

std::int64_t milliseconds(base::Nanoseconds duration) {
  return std::chrono::duration_cast<base::Milliseconds>(duration).count();
}

Document modes_document(const control::Modes& modes) {
  return {{"connection", control::name(modes.connection)}, {"order", control::name(modes.order)}};
}

Document tiers_document(const std::vector<Source>& sources) {
  Document list = Document::array();
  int active = 0;
  for (const Source& source : sources) {
    if (source.is_active) active = std::max(active, source.tier);
    list.push_back({{"name", source.name},
                    {"tier", source.tier},
                    {"active", source.is_active},
                    {"needs", source.needs.empty() ? Document(nullptr) : Document(source.needs)}});
  }
  return {{"active", active}, {"sources", std::move(list)}};
}

/// The rows of the policy that take no part in any decision, and what would be needed for them.
Document conditions_off(const AgentView& view) {
  std::bitset<control::kMostConditions> off;
  off.set();
  for (const control::TupleDecision& tuple : view.round->tuples) off &= tuple.decision.off;
  Document list = Document::array();
  const auto& conditions = view.policy->conditions;
  for (std::size_t row = 0; row < conditions.size(); ++row) {
    const control::Condition& condition = conditions[row];
    const bool has_no_source = view.round->tuples.empty() && !condition.needs.empty();
    if (view.round->tuples.empty() ? !has_no_source : !off[row]) continue;
    list.push_back({{"condition", condition.name},
                    {"effect", control::name(condition.effect)},
                    {"needs", condition.needs.empty() ? "a second look" : condition.needs}});
  }
  return list;
}

/// What is decided for a tuple; nothing for one that is not watched, which is GREEN.
void add_decision(Document& document, const control::TupleDecision* decided, const AgentView& view) {
  if (decided == nullptr) {
    document["state"] = control::name(control::State::kGreen);
    document["since"] = base::to_rfc3339(view.identity->started.wall);
    document["peer_fault"] = false;
    document["p_stress"] = nullptr;
    document["reasons"] = Document::array();
    document["critical"] = true;
    document["flapping"] = false;
    document["order_state"] = control::name(control::State::kGreen);
    return;
  }
  const control::Decision& decision = decided->decision;
  document["state"] = control::name(decision.standing);
  document["since"] = base::to_rfc3339(view.wall(decision.since));
  document["peer_fault"] = decision.has_peer_fault;
  document["p_stress"] = decision.stress ? Document(decision.stress->probability) : Document(nullptr);
  document["reasons"] = reasons_document(decision.reasons, decided->tuple, view.identity->netns);
  document["critical"] = decided->is_critical;
  document["flapping"] = decision.is_flapping;
  document["order_state"] = control::name(decision.order_state);
  if (decision.standing == control::Standing{}) return;
  document["parameters"] = parameters_document(decision.detected);
  document["enforced"] = parameters_document(decision.enforced);
}

struct Row {
  const TupleView* view = nullptr;
  const control::TupleDecision* decided = nullptr;
};

/// All tuples that are not GREEN first, then by pressure; at most `max` of them.
std::vector<Row> rows_of(const AgentView& view, std::size_t max) {
  std::vector<Row> rows;
  rows.reserve(view.census->tuples.size());
  for (const TupleView& tuple : view.census->tuples) rows.push_back({&tuple, view.round->find(tuple.sample->tuple)});
  const auto is_calm = [](const Row& row) {
    return row.decided == nullptr || row.decided->decision.standing.state == control::State::kGreen;
  };
  if (rows.size() > max) {
    std::stable_partition(rows.begin(), rows.end(), [&](const Row& row) { return !is_calm(row); });
    rows.resize(max);
  }
  return rows;
}

Document tuples_document(const AgentView& view, const StatusOptions& options) {
  Document list = Document::array();
  for (const Row& row : rows_of(view, options.max_tuples)) {
    Document tuple = tuple_document(*row.view, view.identity->netns);
    add_connects(tuple, row.view->sample->tuple, view);
    add_programs(tuple, row.view->sample->tuple, view.host);
    add_decision(tuple, row.decided, view);
    list.push_back(std::move(tuple));
  }
  return list;
}

Document observer_document(const AgentView& view) {
  const ObserverFigures& observer = view.observer;
  Document pass = nullptr;
  if (observer.pass) pass = std::chrono::duration_cast<base::Microseconds>(*observer.pass).count();
  Document lost = Document::object();
  for (const auto& [source, count] : observer.lost_events) lost[source] = count;
  return {{"pass_us", std::move(pass)},
          {"interval_ms", milliseconds(observer.interval)},
          {"windows", observer.windows},
          {"missed_windows", observer.missed_windows},
          {"walk", walk_document(*view.census->sample)},
          {"lost_events", std::move(lost)},
          {"last_error", observer.last_error.empty() ? Document(nullptr) : Document(observer.last_error)}};
}

Document absent_document(const AgentView& view, const Document& tuples) {
  Document absent = Document::object();
  for (const auto& [field, reason] : view.census->sample->absent) absent[field] = reason;
  add_absent_connects(absent, tuples, view);
  add_absent_programs(absent, tuples, view.host);
  if (!view.round->host.p_stress) absent["p_stress"] = "no tuple uses a hundredth of its ports";
  return absent;
}

}  // namespace

bool is_enforced(const control::Modes& modes) {
  return modes.connection == control::Mode::kEnforce || modes.order == control::Mode::kEnforce;
}

Document subject_document(const telemetry::Tuple& tuple, const std::string& netns) {
  return {{"netns", netns},
          {"src", tuple.source.to_string()},
          {"dst", tuple.destination.to_string()},
          {"dport", tuple.destination_port}};
}

Document reasons_document(const control::Reasons& reasons, const std::optional<telemetry::Tuple>& subject,
                          const std::string& netns) {
  Document list = Document::array();
  for (const control::Reason& reason : reasons) {
    list.push_back({{"condition", reason.condition},
                    {"op", control::sign(reason.comparison)},
                    {"value", finite(reason.value)},
                    {"threshold", finite(reason.threshold)},
                    {"subject", subject ? subject_document(*subject, netns) : Document(nullptr)}});
  }
  return list;
}

Document parameters_document(const control::Parameters& parameters) {
  const auto& order = parameters.order;
  const auto& connection = parameters.connection;
  return {{"clip_scale", order.clip_scale},
          {"launch_jitter_max_ms", milliseconds(order.launch_jitter_max)},
          {"catch_up_cap", known(order.catch_up_cap)},
          {"retry_rate_per_s", known(connection.retry_rate_per_s)},
          {"retry_burst", known(connection.retry_burst)},
          {"max_new_connects", connection.max_new_connects},
          {"connect_rate_per_s", known(connection.connect_rate_per_s)},
          {"pool_reuse", control::name(connection.pool_reuse)},
          {"optional_reconnects", control::name(connection.optional_reconnects)},
          {"non_urgent_flow", control::name(order.non_urgent_flow)},
          {"urgency_override", control::name(order.urgency_override)}};
}

Document transition_document(const TransitionView& transition, const AgentView& view) {
  const std::string& netns = view.identity->netns;
  const auto& subject = transition.subject;
  return {{"at", base::to_rfc3339(transition.at)},
          {"window", transition.window},
          {"scope", subject ? "tuple" : "host"},
          {"subject", subject ? subject_document(*subject, netns) : Document(nullptr)},
          {"from", control::name(transition.transition.from)},
          {"to", control::name(transition.transition.to)},
          {"trigger", control::name(transition.transition.trigger)},
          {"mode", modes_document(view.policy->modes)},
          {"enforced", is_enforced(view.policy->modes)},
          {"reasons", reasons_document(transition.transition.reasons, transition.cause, netns)}};
}

Document status_document(const AgentView& view, base::Instant now, const StatusOptions& options) {
  const AgentIdentity& identity = *view.identity;
  const control::HostDecision& host = view.round->host;
  const bool is_old = is_outdated(view, now);
  Document status = {{"schema", "tidewaiter.status/1"},
                     {"at", base::to_rfc3339(view.at.wall)},
                     {"instance", identity.instance},
                     {"version", identity.version},
                     {"netns", identity.netns},
                     {"interval_ms", milliseconds(identity.interval)},
                     {"mode", modes_document(view.policy->modes)},
                     {"state", is_old ? "STALE" : control::name(host.standing)},
                     {"since", base::to_rfc3339(is_old ? view.at.wall : view.wall(host.since))},
                     {"p_stress", known(host.p_stress)},
                     {"model", view.policy->stress_model->version},
                     {"reasons", reasons_document(host.reasons, host.subject, identity.netns)},
                     {"parameters", parameters_document(host.detected)},
                     {"enforced", parameters_document(is_old ? host.stale : host.enforced)},
                     {"conditions_off", conditions_off(view)},
                     {"tiers", tiers_document(*view.sources)},
                     {"range", range_document(view.census->sample->plan)},
                     {"tuples", tuples_document(view, options)}};
  status["tuples_omitted"] = view.census->tuples.size() - status["tuples"].size();
  status["host"] = {
      {"ppr", known(view.census->host.ppr)},
      {"twr", known(view.census->host.twr)},
      {"connects", view.connects == nullptr ? Document(nullptr) : connects_document(view.connects->totals)}};
  if (view.host != nullptr) {
    status["handshakes"] = handshakes_document(*view.host);
    status["cadence"] = cadence_document(*view.host);
    status["programs"] = programs_document(*view.host);
    status["blind"] = blind_document(*view.host);
    status["connect_hints"] = connect_hints_document(*view.host);
  }
  status["observer"] = observer_document(view);
  status["absent"] = absent_document(view, status["tuples"]);
  return status;
}

Document window_document(const AgentView& view, const StatusOptions& options) {
  Document document = status_document(view, view.at.steady, options);
  document["schema"] = "tidewaiter.window/1";
  document["window"] = view.window;
  Document transitions = Document::array();
  for (const TransitionView& transition : transitions_of(view)) {
    transitions.push_back(transition_document(transition, view));
  }
  document["transitions"] = std::move(transitions);
  return document;
}

Document config_document(std::span<const base::Setting> settings) {
  Document list = Document::array();
  for (const base::Setting& setting : settings) {
    list.push_back({{"key", setting.key},
                    {"value", setting.value_text()},
                    {"unit", setting.unit},
                    {"allowed", setting.allowed()},
                    {"purpose", setting.purpose}});
  }
  return {{"schema", "tidewaiter.config/1"}, {"settings", std::move(list)}};
}

}  // namespace tidewaiter::output
