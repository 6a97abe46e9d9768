// SPDX-License-Identifier: Apache-2.0
#include "kernel/event_census.h"

namespace tidewaiter::kernel {
namespace {

/// Ports of listeners that no tuple can use: their connections need not be told. Those inside the range count for its
/// literal ratios.
telemetry::PortSet left_out_by(const telemetry::PortSettings& settings, const telemetry::PortSet& listening) {
  telemetry::PortSet ports = listening;
  ports -= telemetry::PortSet::range(settings.lo, settings.hi);
  return ports;
}

}  // namespace

bool EventCensus::Situation::has_rules_of(const Situation& other) const {
  return plan.settings() == other.plan.settings() && plan.usable() == other.plan.usable() &&
         listening == other.listening;
}

void EventCensus::drain() {
  totals_.changes += changes_.drain([this](const telemetry::SocketChange& change) { ledger_.apply(change); });
}

bool EventCensus::is_current(const Situation& situation) {
  drain();
  totals_.lost = changes_.lost();
  return is_running() && known_ && situation.has_rules_of(*known_) && situation.now - known_->now < every_ &&
         situation.time_wait_overflows == known_->time_wait_overflows && totals_.lost == known_lost_;
}

base::Result<void> EventCensus::begin(const NetworkNamespace& network_namespace, const Situation& situation) {
  if (is_running() && known_ && situation.has_rules_of(*known_)) return {};
  auto started = changes_.start(network_namespace, left_out_by(situation.plan.settings(), situation.listening));
  if (!started) {
    stop();
    return started;
  }
  ledger_.reset(situation.plan, situation.listening, situation.now);
  known_.reset();
  is_new_ = true;
  return {};
}

base::Result<void> EventCensus::reconcile(const Situation& situation, const Dump& dump) {
  if (const auto ticks = changes_.read_ticks()) ledger_.synchronize(ticks->at, ticks->count);
  known_lost_ = changes_.lost();
  drain();
  ledger_.begin_dump(situation.now);
  if (auto dumped = dump(ledger_); !dumped) {
    stop();
    return dumped;
  }
  drain();
  const auto drift = ledger_.end_dump();
  ++totals_.dumps;
  totals_.lost = changes_.lost();
  if (!is_new_) {
    totals_.missing += drift.missing;
    totals_.phantoms += drift.phantoms;
  }
  is_new_ = false;
  known_ = situation;
  return {};
}

void EventCensus::fill(telemetry::Sample& sample, std::uint32_t listening_sockets_in_range) {
  ledger_.fill(sample, listening_sockets_in_range);
}

void EventCensus::stop() {
  if (is_new_ && !is_running()) return;
  changes_.stop();
  known_.reset();
  is_new_ = true;
  ledger_.reset({}, {}, {});
}

}  // namespace tidewaiter::kernel
