// SPDX-License-Identifier: Apache-2.0
#include "output/documents.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/instant.h"

namespace tidewaiter::output {
namespace {

/// null for what is not known.
template <class Value>
Document known(const std::optional<Value>& value) {
  return value ? Document(*value) : Document(nullptr);
}

double seconds(base::Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

std::int64_t microseconds(base::Nanoseconds duration) {
  return std::chrono::duration_cast<base::Microseconds>(duration).count();
}

Document time_to(const std::optional<model::Forecast>& forecast,
                 const std::optional<base::Nanoseconds> model::Forecast::*field) {
  if (!forecast || !((*forecast).*field)) return nullptr;
  return seconds(*((*forecast).*field));
}

Document listener_document(const telemetry::ListenerSample& listener) {
  const auto wait = [&](std::uint32_t telemetry::WaitDistribution::*field) {
    return listener.waits ? Document((*listener.waits).*field) : Document(nullptr);
  };
  return {{"addr", listener.address.to_string()},
          {"port", listener.port},
          {"sockets", listener.sockets},
          {"accept_queue", listener.accept_queue},
          {"accept_limit", listener.accept_limit},
          {"half_open", known(listener.half_open)},
          {"drops", known(listener.drops)},
          {"waiting", listener.accept_queue == 0 ? Document(0) : wait(&telemetry::WaitDistribution::count)},
          {"wait_p50_ms", wait(&telemetry::WaitDistribution::p50_ms)},
          {"wait_p95_ms", wait(&telemetry::WaitDistribution::p95_ms)},
          {"oldest_wait_ms", wait(&telemetry::WaitDistribution::oldest_ms)}};
}

Document numbers_document(const std::map<std::string, std::optional<std::int64_t>>& numbers) {
  Document document = Document::object();
  for (const auto& [name, value] : numbers) document[name] = known(value);
  return document;
}

Document cost_document(const telemetry::Sample& sample) {
  const telemetry::LookCost& cost = sample.cost;
  return {{"wall_us", microseconds(cost.wall)},
          {"cpu_us", microseconds(cost.cpu)},
          {"kernel_us", microseconds(cost.kernel)},
          {"sockets", cost.sockets},
          {"passes", cost.passes},
          {"interrupted", cost.interrupted},
          {"repeated", cost.repeated},
          {"walk", walk_document(sample)}};
}

Document ledger_document(const telemetry::LedgerTotals& ledger) {
  return {{"dumps", ledger.dumps},
          {"changes", ledger.changes},
          {"lost", ledger.lost},
          {"missing", ledger.missing},
          {"phantoms", ledger.phantoms}};
}

Document absent_document(const CensusView& view) {
  Document absent = Document::object();
  for (const auto& [field, reason] : view.sample->absent) absent[field] = reason;
  const auto has_demand = [](const TupleView& tuple) { return tuple.outlook.demand_per_s.has_value(); };
  const bool is_compared = !view.tuples.empty() && view.tuples.front().outlook.opened_per_s;
  if (is_compared && !std::all_of(view.tuples.begin(), view.tuples.end(), has_demand)) {
    for (const char* field : {"demand_per_s", "time_to_cliff_s", "time_to_exhaustion_s"}) {
      absent[field] = "of tuples that never had a free port: connects that fail leave no socket to count";
    }
  }
  if (!is_compared) {
    for (const char* field :
         {"demand_per_s", "opened_per_s", "closed_per_s", "time_to_cliff_s", "time_to_exhaustion_s"}) {
      absent[field] = view.tuples.empty() ? "no tuple" : "one look";
    }
  }
  const telemetry::PortPlan& plan = view.sample->plan;
  if (plan.capacity() == 0) {
    for (const char* field : {"ppr", "twr", "host.ppr", "host.twr"}) absent[field] = "the range has no usable port";
  }
  if (plan.preferred_capacity() == 0) absent["ppr_preferred"] = "the preferred parity has no usable port";
  if (plan.size() == plan.reserved()) {
    for (const char* field : {"host.ppr_literal", "host.twr_literal"}) absent[field] = "the whole range is reserved";
  }
  return absent;
}

}  // namespace

Document range_document(const telemetry::PortPlan& plan) {
  return {{"lo", plan.settings().lo},
          {"hi", plan.settings().hi},
          {"size", plan.size()},
          {"reserved", plan.reserved()},
          {"locked", plan.locked()},
          {"capacity", plan.capacity()},
          {"preferred", plan.settings().lo % 2 == 0 ? "even" : "odd"},
          {"preferred_capacity", plan.preferred_capacity()}};
}

Document tuple_document(const TupleView& view, const std::string& netns) {
  const auto& tuple = view.sample->tuple;
  const auto& counts = view.sample->counts;
  const auto& outlook = view.outlook;
  return {{"netns", netns},
          {"src", tuple.source.to_string()},
          {"dst", tuple.destination.to_string()},
          {"dport", tuple.destination_port},
          {"live", counts.live},
          {"live_preferred", counts.live_preferred},
          {"time_wait", counts.time_wait},
          {"time_wait_preferred", counts.time_wait_preferred},
          {"time_wait_reusable", counts.time_wait_reusable},
          {"outside_range", counts.outside_range},
          {"syn_sent", counts.syn_sent},
          {"syn_retransmitted", counts.syn_retransmitted},
          {"free", outlook.pressure.free},
          {"free_preferred", outlook.pressure.free_preferred},
          {"ppr", known(outlook.pressure.ppr)},
          {"ppr_preferred", known(outlook.pressure.ppr_preferred)},
          {"twr", known(outlook.pressure.twr)},
          {"next_release_ms", known(outlook.pressure.next_release_ms)},
          {"expected_search_us", static_cast<double>(outlook.expected_search.count()) / 1000.0},
          {"past_cliff", outlook.is_past_cliff},
          {"opened_per_s", known(outlook.opened_per_s)},
          {"closed_per_s", known(outlook.closed_per_s)},
          {"demand_per_s", known(outlook.demand_per_s)},
          {"time_to_cliff_s", time_to(outlook.forecast, &model::Forecast::time_to_cliff)},
          {"time_to_exhaustion_s", time_to(outlook.forecast, &model::Forecast::time_to_exhaustion)}};
}

Document walk_document(const telemetry::Sample& sample) {
  Document document = {{"source", telemetry::name(sample.source)}};
  for (const auto source : {telemetry::LookSource::kSockDiag, telemetry::LookSource::kIterator}) {
    const auto walk = sample.cost.walk_cpu.find(source);
    document[fmt::format("{}_cpu_us", telemetry::name(source))] =
        walk == sample.cost.walk_cpu.end() ? Document(nullptr) : Document(microseconds(walk->second));
  }
  return document;
}

Document census_document(const CensusView& view) {
  const telemetry::Sample& sample = *view.sample;
  Document tuples = Document::array();
  for (const TupleView& tuple : view.tuples) tuples.push_back(tuple_document(tuple, sample.netns));
  Document listeners = Document::array();
  for (const auto& listener : sample.listeners) listeners.push_back(listener_document(listener));
  return {{"schema", "tidewaiter.census/1"},
          {"at", base::to_rfc3339(sample.at.wall)},
          {"netns", sample.netns},
          {"tier", 0},
          {"range", range_document(sample.plan)},
          {"tuples", std::move(tuples)},
          {"host",
           {{"ppr", known(view.host.ppr)},
            {"twr", known(view.host.twr)},
            {"ppr_literal", known(view.host.ppr_literal)},
            {"twr_literal", known(view.host.twr_literal)}}},
          {"listeners", std::move(listeners)},
          {"kernel", {{"release", sample.kernel.release}, {"hz", known(sample.kernel.hz)}}},
          {"settings", numbers_document(sample.settings)},
          {"counters", numbers_document(sample.counters)},
          {"cost", cost_document(sample)},
          {"ledger", sample.ledger ? ledger_document(*sample.ledger) : Document()},
          {"absent", absent_document(view)}};
}

Document error_document(const base::Error& error) {
  return {{"schema", "tidewaiter.error/1"},
          {"error", {{"code", base::name(error.code)}, {"message", error.message()}, {"hint", error.hint}}}};
}

}  // namespace tidewaiter::output
