// SPDX-License-Identifier: Apache-2.0
#include "output/connect_documents.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <string>
#include <utility>

namespace tidewaiter::output {
namespace {

template <class Value>
Document known(const std::optional<Value>& value) {
  return value ? Document(*value) : Document(nullptr);
}

/// A field of a tuple that may be null, and why it is so although connects are seen; empty: it never is.
struct NullableField {
  const char* name;
  const char* reason;
};
constexpr const char* kNoConnects = "no connect ended in the last 30 s";
constexpr const char* kFewRetries = "too few retries in the last 5 s";
constexpr std::array<NullableField, 17> kNullable{{
    {"cfr", kNoConnects},
    {"cfr_local", kNoConnects},
    {"attempts", kNoConnects},
    {"ctl95_us", kNoConnects},
    {"ctl99_us", kNoConnects},
    {"ctl95_at_least", kNoConnects},
    {"ctl99_at_least", kNoConnects},
    {"port_search_p95_us", "no port search was timed in the last 30 s"},
    {"rbi", kFewRetries},
    {"rbi_widths", kFewRetries},
    {"retries_per_attempt", "no connect but retries ended in the last 30 s"},
    {"attempts_per_s", ""},
    {"retry_rate_per_s", ""},
    {"reconnects_per_s", ""},
    {"port_search_cores", ""},
    {"connects", ""},
    {"processes", ""},
}};

Document burst_widths(const telemetry::TupleConnects& connects) {
  constexpr std::array<const char*, telemetry::kBurstWidths.size()> kWidths = {"20ms", "100ms", "250ms", "500ms"};
  Document widths = Document::object();
  for (std::size_t i = 0; i < kWidths.size(); ++i) widths[kWidths.at(i)] = known(connects.bursts.at(i));
  return widths;
}

Document processes_document(const telemetry::TupleConnects& connects) {
  Document processes = Document::array();
  for (const telemetry::ConnectProcess& process : connects.processes) {
    processes.push_back({{"pid", process.pid},
                         {"comm", process.command},
                         {"failures", process.failures},
                         {"slow", process.slow},
                         {"retries", process.retries}});
  }
  return processes;
}

void add_rates(Document& document, const std::optional<telemetry::ConnectCounts>& pooled) {
  const auto rate = [&](std::uint32_t failures) { return static_cast<double>(failures) / pooled->attempts; };
  document["cfr"] = pooled ? Document(rate(pooled->failed())) : Document(nullptr);
  document["cfr_local"] = pooled ? Document(rate(pooled->failed_local)) : Document(nullptr);
  document["attempts"] = pooled ? Document(pooled->attempts) : Document(nullptr);
}

void add_quantile(Document& document, const std::string& name, const std::optional<telemetry::Quantile>& quantile) {
  document[name + "_us"] = nullptr;
  document[name + "_at_least"] = nullptr;
  if (!quantile) return;
  document[name + "_us"] = std::chrono::duration<double, std::micro>(quantile->value).count();
  document[name + "_at_least"] = quantile->at_least;
}

/// What would have to be there for connects to be seen.
std::string what_is_missing(const AgentView& view) {
  const auto missing = std::find_if(view.sources->begin(), view.sources->end(), [](const Source& source) {
    return source.tier == 1 && !source.is_active && !source.needs.empty();
  });
  if (missing == view.sources->end()) return "no source sees connects (tier 1 or 2)";
  return fmt::format("no source sees connects: {} needs {}", missing->name, missing->needs);
}

/// Null, or an object that has a null.
bool is_unknown(const Document& tuple, const char* field) {
  const auto found = tuple.find(field);
  if (found == tuple.end()) return false;
  if (!found->is_object()) return found->is_null();
  return std::any_of(found->begin(), found->end(), [](const Document& value) { return value.is_null(); });
}

}  // namespace

Document connects_document(const telemetry::ConnectTotals& totals) {
  Document failures = Document::object();
  for (std::size_t i = 0; i < telemetry::kConnectCauses; ++i) {
    failures[std::string(telemetry::name(static_cast<telemetry::ConnectCause>(i)))] = totals.ended.at(i);
  }
  return {{"attempts", totals.attempts},     {"established", totals.established},
          {"failures", std::move(failures)}, {"port_probes", totals.port_probes},
          {"collisions", totals.collisions}, {"pre_syn_unattributed", totals.pre_syn_unattributed},
          {"prohibited", totals.prohibited}, {"syn_retransmits", totals.syn_retransmits},
          {"retries", totals.retries},       {"inferred", totals.inferred}};
}

void add_connects(Document& tuple, const telemetry::Tuple& key, const AgentView& view) {
  const bool is_seen = view.connects != nullptr;
  const telemetry::TupleConnects* const found = is_seen ? view.connects->find(key) : nullptr;
  const telemetry::TupleConnects none;
  const telemetry::TupleConnects& connects = found == nullptr ? none : *found;
  const auto if_seen = [&](auto value) { return is_seen ? Document(std::move(value)) : Document(nullptr); };
  add_rates(tuple, connects.pooled);
  add_quantile(tuple, "ctl95", connects.connect_p95);
  add_quantile(tuple, "ctl99", connects.connect_p99);
  tuple["port_search_p95_us"] =
      connects.search_p95 ? Document(std::chrono::duration<double, std::micro>(connects.search_p95->value).count())
                          : Document(nullptr);
  tuple["rbi"] = known(connects.burst_index);
  tuple["rbi_widths"] = burst_widths(connects);
  tuple["attempts_per_s"] = if_seen(connects.attempts_per_s);
  tuple["retry_rate_per_s"] = if_seen(connects.retries_per_s);
  tuple["retries_per_attempt"] = known(connects.retries_per_attempt);
  tuple["reconnects_per_s"] = if_seen(connects.reconnects_per_s);
  tuple["port_search_cores"] = if_seen(connects.search_cores);
  tuple["connects"] = if_seen(connects_document(connects.totals));
  tuple["processes"] = if_seen(processes_document(connects));
}

void add_absent_connects(Document& absent, const Document& tuples, const AgentView& view) {
  if (view.connects == nullptr) {
    const std::string reason = what_is_missing(view);
    for (const NullableField& field : kNullable) absent[std::string("tuples.") + field.name] = reason;
    absent["host.connects"] = reason;
    return;
  }
  for (const NullableField& field : kNullable) {
    const auto is_null = [&](const Document& tuple) { return is_unknown(tuple, field.name); };
    if (std::any_of(tuples.begin(), tuples.end(), is_null)) absent[std::string("tuples.") + field.name] = field.reason;
  }
}

}  // namespace tidewaiter::output
