// SPDX-License-Identifier: Apache-2.0
#include "telemetry/order_events.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace tidewaiter::telemetry {
namespace {

using Kind = OrderEvent::Kind;

bool is_about_sending(const OrderEvent& event) {
  return event.kind == Kind::kSendAttempt || event.kind == Kind::kSendFailed;
}

/// What was sent may be cancelled later, which is another story; of attempts and failures the last one counts.
bool supersedes(const OrderEvent& event, const std::optional<OrderEvent>& outcome) {
  if (!outcome) return true;
  if (is_about_sending(event) != is_about_sending(*outcome)) return is_about_sending(event);
  return event.at >= outcome->at;
}

const Tuple& tuple_of(const OrderEvent& decision, const OrderEvent& outcome) {
  return outcome.tuple.destination == Address() ? decision.tuple : outcome.tuple;
}

Launch launch_of(const OrderEvent& decision, const OrderEvent* outcome) {
  Launch launch{decision.schedule->scheduled, std::nullopt, decision.schedule->slice_end, base::Nanoseconds(0)};
  if (outcome != nullptr) {
    launch.gate_delay = outcome->gate_delay;
    if (outcome->kind == Kind::kSendAttempt) launch.sent = outcome->at;
  }
  return launch;
}

}  // namespace

std::vector<base::Setting> OrderEvents::settings_of(Options& options) {
  return {{"orders.patience", "", "How long a decided order may go unheard of before it is no longer waited for.",
           base::Setting::Duration{&options.patience, base::Seconds(1), std::chrono::hours(1)}},
          {"orders.max_children", "orders",
           "Child orders that are followed between decision and sending; as many more are kept for the cadence.",
           base::Setting::Whole{&options.max_children, 1, 1'000'000}},
          {"orders.max_tuples", "destinations", "Destinations whose sends are judged.",
           base::Setting::Whole{&options.max_tuples, 1, 4'096}}};
}

std::size_t OrderEvents::KeyHash::operator()(const Key& key) const noexcept {
  __extension__ using Wide = unsigned __int128;  // multiply and fold, as in std::hash<Tuple>
  const Wide product = static_cast<Wide>(key.id ^ 0x9e3779b97f4a7c15ULL) * (key.producer ^ 0xd6e8feb86659fd93ULL);
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

void OrderEvents::add(const OrderEvent& event) {
  assert(event.gate_delay.count() >= 0);
  event.kind == Kind::kDecision ? add_decision(event) : add_outcome(event);
}

OrderEvents::Child* OrderEvents::find_or_append(const Key& key) {
  const auto place = children_.find(key);
  if (place != children_.end()) return &place->second;
  if (children_.size() >= options_.max_children) return nullptr;
  return &children_[key];
}

void OrderEvents::add_decision(const OrderEvent& event) {
  ++counters_.decisions;
  Child* const child = find_or_append({event.producer, event.id});
  if (child == nullptr) {
    ++counters_.overflowed;
    return;
  }
  if (child->decision) ++counters_.repeated;
  child->decision = event;
}

void OrderEvents::add_outcome(const OrderEvent& event) {
  const Key key{event.producer, event.id};
  // A cancelled or refused child that is not waited for was sent long ago, or is not our concern.
  if (!is_about_sending(event) && children_.find(key) == children_.end()) return;
  Child* const child = find_or_append(key);
  if (child == nullptr) {
    ++counters_.undecided;  // its decision overflowed, or will
    return;
  }
  if (!child->outcome) unsettled_.push_back(key);
  if (supersedes(event, child->outcome)) child->outcome = event;
}

void OrderEvents::settle() {
  std::vector<Key> waiting;
  for (const Key& key : unsettled_) {
    const auto place = children_.find(key);
    assert(place != children_.end());
    Child& child = place->second;
    if (!child.decision && !std::exchange(child.has_waited, true)) {
      waiting.push_back(key);
      continue;
    }
    if (child.decision) {
      settle(*child.decision, *child.outcome);
    } else {
      ++counters_.undecided;
    }
    children_.erase(place);
  }
  unsettled_ = std::move(waiting);
}

void OrderEvents::settle(const OrderEvent& decision, const OrderEvent& outcome) {
  const auto add_delay = [&](SendDelays::Ending ending) {
    delays_.add(tuple_of(decision, outcome), outcome.at, outcome.at - decision.at - outcome.gate_delay, ending);
  };
  switch (outcome.kind) {
    case Kind::kSendAttempt:
      ++counters_.sent;
      add_delay(SendDelays::Ending::kSent);
      return remember(outcome.at, decision, &outcome);
    case Kind::kSendFailed:
      ++counters_.failed;
      add_delay(SendDelays::Ending::kGivenUp);
      return remember(outcome.at, decision, &outcome);
    case Kind::kCancel:
      ++counters_.cancelled;
      return add_delay(SendDelays::Ending::kGivenUp);
    case Kind::kRefusal:
      ++counters_.refused;
      return;
    case Kind::kDecision:
      break;
  }
  assert(false);
}

void OrderEvents::remember(base::Instant at, const OrderEvent& decision, const OrderEvent* outcome) {
  if (!decision.schedule) return;
  if (launches_.size() >= options_.max_children) {
    launches_.pop_front();
    ++counters_.forgotten_launches;
  }
  launches_.push_back({at, launch_of(decision, outcome)});
  const Launch& launch = launches_.back().launch;
  if (launch.sent) launch_errors_.add(std::chrono::abs(*launch.sent - launch.scheduled));
}

void OrderEvents::expire(base::Instant now) {
  for (auto place = children_.begin(); place != children_.end();) {
    const Child& child = place->second;
    if (child.outcome || now - child.decision->at <= options_.patience) {
      ++place;
      continue;
    }
    ++counters_.expired;
    remember(now, *child.decision, nullptr);
    place = children_.erase(place);
  }
}

void OrderEvents::close(base::Instant now, const SendDelays::Visitor& visit) {
  settle();
  expire(now);
  while (!launches_.empty() && now - launches_.front().at > kCadence) launches_.pop_front();
  delays_.close(now, visit);
}

Cadence OrderEvents::cadence(base::Instant now) const {
  std::vector<Launch> launches;
  launches.reserve(launches_.size() + children_.size());
  for (const Settled& settled : launches_) {
    if (now - settled.at <= kCadence) launches.push_back(settled.launch);
  }
  for (const auto& [key, child] : children_) {
    if (child.decision && child.decision->schedule && !child.outcome) {
      launches.push_back(launch_of(*child.decision, nullptr));
    }
  }
  return cadence_of(launches, now);
}

std::size_t OrderEvents::children() const {
  return static_cast<std::size_t>(std::count_if(children_.begin(), children_.end(),
                                                [](const auto& child) { return child.second.decision.has_value(); }));
}

}  // namespace tidewaiter::telemetry
