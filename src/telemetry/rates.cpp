// SPDX-License-Identifier: Apache-2.0
#include "telemetry/rates.h"

#include <algorithm>
#include <cmath>

#include "telemetry/pressure.h"

namespace tidewaiter::telemetry {
namespace {

constexpr base::Nanoseconds kRise = base::Milliseconds(1'500);  // of connects above the slow rate: no single burst

constexpr std::int64_t kTimerTolerance_ms = 100;  // a dump takes its time

/// The same timer. The source of looks may have changed between them, and events give mini-sockets no cookie.
bool is_same_timer(const PortUse& before, const PortUse& after, base::Nanoseconds elapsed) {
  if (!before.is_mini_socket() || !after.is_mini_socket()) return false;
  const auto elapsed_ms = std::chrono::floor<base::Milliseconds>(elapsed).count();
  return after.remaining_ms <= std::max<std::int64_t>(0, before.remaining_ms - elapsed_ms) + kTimerTolerance_ms;
}

/// One port at both looks; either may be null, not both.
void add_port(const PortUse* before, const PortUse* after, PortFlow& flow) {
  if (before != nullptr && after != nullptr) {
    if (before->cookie == after->cookie || is_same_timer(*before, *after, flow.elapsed)) return;  // the same socket
  }
  const bool was_live = before != nullptr && !before->is_mini_socket();
  if (was_live && after != nullptr && after->is_mini_socket()) {  // it closed; its TIME_WAIT has a cookie of its own
    ++flow.closed_to_time_wait;
    return;
  }
  if (was_live) ++flow.closed_free;
  if (after == nullptr) return;
  ++flow.opened;
  if (after->is_mini_socket()) ++flow.closed_to_time_wait;
}

/// Connects of the window that wanted a port of the tuple and got none, each try: a process that goes on after a
/// failure cannot be told from one that repeats it.
std::uint32_t portless(const Connects* connects, const Tuple& tuple) {
  const TupleConnects* const known = connects == nullptr ? nullptr : connects->find(tuple);
  return known == nullptr ? 0 : static_cast<std::uint32_t>(known->window_portless);
}

/// Programs may not tell the source.
std::uint32_t refused(const std::map<Tuple, std::uint32_t>* by_tuple, const Tuple& tuple) {
  if (by_tuple == nullptr || by_tuple->empty()) return 0;
  std::uint32_t sum = 0;
  for (const Tuple& key : {tuple, Tuple{{}, tuple.destination, tuple.destination_port}}) {
    if (const auto found = by_tuple->find(key); found != by_tuple->end()) sum += found->second;
  }
  return sum;
}

}  // namespace

double PortFlow::growth_per_s() const {
  const double opens = opened;
  const double closes = static_cast<double>(closed_to_time_wait) + closed_free;
  const double growth = opens - closes;
  if (growth <= 2.0 * std::sqrt(opens + closes)) return 0.0;
  return growth / std::chrono::duration<double>(elapsed).count();
}

PortFlow flow_between(const TupleSample& before, const TupleSample& after, base::Nanoseconds elapsed) {
  PortPlaces places;
  return flow_between(before, after, elapsed, places);
}

PortFlow flow_between(const TupleSample& before, const TupleSample& after, base::Nanoseconds elapsed,
                      PortPlaces& places) {
  PortFlow flow;
  flow.elapsed = elapsed;
  flow.live = after.counts.live;
  if (before.ports.is_same_as(after.ports)) return flow;
  places.resize(PortSet::kPorts);
  std::uint32_t next = 0;
  for (const PortUse& use : before.ports) places[use.port] = ++next;  // 0: not there
  for (const PortUse& use : after.ports) {
    std::uint32_t& place = places[use.port];
    add_port(place == 0 ? nullptr : &before.ports[place - 1], &use, flow);
    place = 0;
  }
  for (const PortUse& use : before.ports) {
    std::uint32_t& place = places[use.port];
    if (place != 0) add_port(&use, nullptr, flow);
    place = 0;
  }
  return flow;
}

std::vector<base::Setting> DemandEstimator::settings_of(Options& options) {
  return {
      {"demand.fast", "", "Time constant of the rate that notices a rise.",
       base::Setting::Duration{&options.fast, base::Milliseconds(100), base::Seconds(3600)}},
      {"demand.slow", "",
       "Time constant of the rate that counts; it begins anew when the fast one rises above it by more than chance.",
       base::Setting::Duration{&options.slow, base::Milliseconds(100), base::Seconds(3600)}}};
}

void DemandEstimator::update(double offered, base::Nanoseconds elapsed) {
  const double rate = offered / std::chrono::duration<double>(elapsed).count();
  fast_.add(rate, elapsed, options_.fast);
  slow_.add(rate, elapsed, options_.slow);
  // The variance of an exponentially weighted mean of Poisson counts is rate / (2 · time constant).
  const double slow = slow_.value();
  const double chance = 3.0 * std::sqrt(slow / (2.0 * std::chrono::duration<double>(options_.fast).count()));
  if (fast_.value() <= slow + chance) {
    risen_for_ = base::Nanoseconds(0);
    return;
  }
  // A single burst, such as a pool that opens its connections, keeps the fast rate up for a while; demand goes on.
  if (rate > slow) risen_for_ += elapsed;
  if (risen_for_ < kRise) return;
  slow_ = {};
  slow_.add(fast_.value(), elapsed, options_.slow);
}

void DemandEstimator::Mean::add(double rate, base::Nanoseconds elapsed, base::Nanoseconds time_constant) {
  const double share =
      1.0 - std::exp(-static_cast<double>(elapsed.count()) / static_cast<double>(time_constant.count()));
  weighted += share * (rate - weighted);
  weight += share * (1.0 - weight);
}

void DemandTracker::observe(const Sample& before, const Sample& after, const UnmetLoad& unmet) {
  const base::Nanoseconds elapsed = after.at.steady - before.at.steady;
  if (elapsed <= base::Nanoseconds(0)) return;
  std::unordered_map<Tuple, TupleDemand> next;
  next.reserve(after.tuples.size());
  const TupleSample nothing;
  auto earlier = before.tuples.begin();
  for (const TupleSample& tuple : after.tuples) {  // both are sorted by tuple
    while (earlier != before.tuples.end() && earlier->tuple < tuple.tuple) ++earlier;
    const bool was_there = earlier != before.tuples.end() && earlier->tuple == tuple.tuple;
    const auto known = tuples_.find(tuple.tuple);
    TupleDemand demand = known != tuples_.end() ? known->second : TupleDemand{{}, DemandEstimator(options_)};
    if (known == tuples_.end() && has_history_) demand.offered.update(0, 10 * options_.slow);
    demand.flow = flow_between(was_there ? *earlier : nothing, tuple, elapsed, places_);
    const std::uint32_t offered =
        demand.flow.opened + portless(unmet.connects, tuple.tuple) + refused(unmet.refused, tuple.tuple);
    const bool is_hidden = unmet.connects == nullptr && pressure_of(tuple, after.plan).free == 0;
    if (!is_hidden || demand.flow.per_second(offered) > demand.offered.per_second().value_or(0)) {
      demand.offered.update(offered, elapsed);
    }
    next.emplace(tuple.tuple, demand);
  }
  tuples_ = std::move(next);
  has_history_ = true;
}

const TupleDemand* DemandTracker::find(const Tuple& tuple) const {
  const auto found = tuples_.find(tuple);
  return found == tuples_.end() ? nullptr : &found->second;
}

std::optional<double> DemandEstimator::per_second() const {
  if (fast_.weight == 0) return std::nullopt;
  return slow_.value();
}

}  // namespace tidewaiter::telemetry
