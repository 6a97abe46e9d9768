// SPDX-License-Identifier: Apache-2.0
#include "agent/program_events.h"

#include <iterator>
#include <utility>

#include "agent/produced_events.h"

namespace tidewaiter::agent {

std::vector<base::Setting> ProgramEvents::settings_of(Options& options) {
  auto settings = board::EventCollector::settings_of(options.collector);
  auto orders = telemetry::OrderEvents::settings_of(options.orders);
  settings.insert(settings.end(), std::make_move_iterator(orders.begin()), std::make_move_iterator(orders.end()));
  return settings;
}

base::Result<ProgramEvents> ProgramEvents::listen(Options options, const std::string& path,
                                                  std::uint64_t network_namespace) {
  options.collector.path = path;
  auto collector = board::EventCollector::listen(options.collector);
  if (!collector) return tl::unexpected(collector.error());
  return ProgramEvents(options, std::move(*collector), network_namespace);
}

void ProgramEvents::drain(base::Instant now) {
  collector_.drain(now, [this](const board::Producer& producer, const tw_event& event) { take(producer, event); });
  orders_.settle();
}

void ProgramEvents::take(const board::Producer& producer, const tw_event& event) {
  if (producer.network_namespace != 0 && producer.network_namespace != network_namespace_) {
    ++programs_.foreign;
    return;
  }
  if (const auto order = order_event_of(producer, event)) {
    orders_.add(*order);
    return;
  }
  const bool is_retry = event.kind >= TW_EVENT_RETRY_SCHEDULED && event.kind <= TW_EVENT_RETRY_CANCELLED;
  if (!is_retry && event.kind != TW_EVENT_BUDGET_REFUSED) return;
  const telemetry::Tuple key = route_of(event);
  telemetry::TuplePrograms* const tuple = place_of(key);
  if (event.kind == TW_EVENT_BUDGET_REFUSED) ++programs_.refused;
  if (tuple == nullptr) {
    ++programs_.omitted;
    return;
  }
  if (event.kind == TW_EVENT_BUDGET_REFUSED) {
    ++tuple->refused;
    ++refused_now_[key];
  } else if (event.kind == TW_EVENT_RETRY_SCHEDULED) {
    ++tuple->retries_waiting;
  } else if (tuple->retries_waiting > 0) {  // fired or cancelled; one that was scheduled before the agent is not known
    --tuple->retries_waiting;
  }
}

telemetry::TuplePrograms* ProgramEvents::place_of(const telemetry::Tuple& tuple) {
  const auto found = programs_.tuples.find(tuple);
  if (found != programs_.tuples.end()) return &found->second;
  if (programs_.tuples.size() >= kMostTuples) return nullptr;
  return &programs_.tuples[tuple];
}

void ProgramEvents::close(base::Instant now) {
  drain(now);
  orders_.close(now, [this](const telemetry::Tuple& tuple, const telemetry::Histogram& delays) {
    if (telemetry::TuplePrograms* const place = place_of(tuple)) {
      place->send_delays.add(delays);
    } else {
      ++programs_.omitted;
    }
  });
  for (auto& [tuple, programs] : programs_.tuples) {
    const auto refused = refused_now_.find(tuple);
    programs.window_refused = refused == refused_now_.end() ? 0 : refused->second;
    programs.send_delay = orders_.delays().of(tuple);
  }
  refused_ = std::move(refused_now_);
  refused_now_.clear();
  programs_.cadence = orders_.cadence(now);
  programs_.children = orders_.counters();
  programs_.launch_errors = orders_.launch_errors();
  programs_.rings = collector_.rings();
  const board::EventRing::Counts& counts = collector_.counters().counts;
  programs_.events = counts.events;
  programs_.dropped = counts.dropped;
  programs_.malformed = counts.malformed + counts.jumps;
}

}  // namespace tidewaiter::agent
