// SPDX-License-Identifier: Apache-2.0
#include "agent/observer.h"

#include <algorithm>
#include <utility>

#include "output/census_view.h"

namespace tidewaiter::agent {

Observer::Observer(kernel::NetworkNamespace network_namespace, const Configuration& configuration,
                   std::shared_ptr<const Setup> setup, base::Instant start)
    : census_(std::move(network_namespace), configuration.look),
      configuration_(configuration),
      setup_(std::move(setup)),
      demand_(configuration.demand),
      controller_(setup_->policy, start) {}

base::Result<std::shared_ptr<Snapshot>> Observer::window(base::Moment now) {
  auto sample = look(now);
  if (!sample) {
    if (!last_look_) return tl::unexpected(sample.error());
    ++missed_windows_;
    last_error_ = sample.error().message();
    auto missed = snapshot(controller_.missed_window(now.steady), now);
    missed->is_missed = true;
    return missed;
  }
  last_error_.clear();
  auto fresh = std::make_shared<Look>();
  fresh->sample = std::move(*sample);
  keep_watched(fresh->sample);
  if (is_comparable_) demand_.observe(last_look_->sample, fresh->sample);
  fresh->census = output::view_of(fresh->sample, is_comparable_ ? &demand_ : nullptr, configuration_.outlook);
  is_comparable_ = true;
  last_look_ = std::move(fresh);
  ++windows_;
  return snapshot(decide(*last_look_, now.steady), now);
}

std::shared_ptr<Snapshot> Observer::skip(std::uint64_t windows, base::Moment now) {
  missed_windows_ += windows;
  if (!last_look_) return nullptr;
  std::shared_ptr<Snapshot> stale;
  for (std::uint64_t i = 0; i < std::min(windows, configuration_.policy.stale_after_windows); ++i) {
    control::Round round = controller_.missed_window(now.steady);
    if (!round.host.transition) continue;
    stale = snapshot(std::move(round), now);
    stale->is_missed = true;
  }
  return stale;
}

base::Result<telemetry::Sample> Observer::look(base::Moment now) {
  if (!census_.network_namespace().is_still_there()) {
    // Deleted and made again under the same name: watch the one that has the name now.
    if (auto reopened = kernel::NetworkNamespace::open(census_.network_namespace().label()); reopened) {
      census_ = kernel::Census(std::move(*reopened), configuration_.look);
      demand_ = telemetry::DemandTracker(configuration_.demand);
      is_comparable_ = false;
    }
  }
  return census_.look(now);
}

/// Tuples that are not GREEN stay in the sample when their last socket goes: with no port in use, which is true.
void Observer::keep_watched(telemetry::Sample& sample) const {
  const std::size_t seen = sample.tuples.size();
  for (const telemetry::Tuple& tuple : unsettled_) {
    const auto end = sample.tuples.begin() + static_cast<std::ptrdiff_t>(seen);
    const auto place = std::lower_bound(
        sample.tuples.begin(), end, tuple,
        [](const telemetry::TupleSample& entry, const telemetry::Tuple& key) { return entry.tuple < key; });
    if (place == end || place->tuple != tuple) sample.tuples.push_back({tuple, {}, {}});
  }
  if (sample.tuples.size() == seen) return;
  std::sort(sample.tuples.begin(), sample.tuples.end(),
            [](const auto& left, const auto& right) { return left.tuple < right.tuple; });
}

control::Round Observer::decide(const Look& look, base::Instant now) {
  const telemetry::PortPlan& plan = look.sample.plan;
  windows_of_tuples_.clear();
  for (const output::TupleView& tuple : look.census.tuples) {
    const telemetry::Tuple& key = tuple.sample->tuple;
    windows_of_tuples_.push_back({key, control::window_input(tuple.outlook, plan, key), true});
  }
  control::Round round = controller_.window(windows_of_tuples_, control::idle_window(plan), now);
  unsettled_.clear();
  for (const control::TupleDecision& tuple : round.tuples) {
    if (tuple.decision.standing.state != control::State::kGreen) unsettled_.push_back(tuple.tuple);
  }
  return round;
}

std::shared_ptr<Snapshot> Observer::snapshot(control::Round round, base::Moment now) const {
  auto result = std::make_shared<Snapshot>();
  result->setup = setup_;
  result->look = last_look_;
  result->round = std::move(round);
  result->at = now;
  result->observer.windows = windows_;
  result->observer.missed_windows = missed_windows_;
  result->observer.last_error = last_error_;
  return result;
}

}  // namespace tidewaiter::agent
