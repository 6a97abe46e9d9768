// SPDX-License-Identifier: Apache-2.0
#include "agent/observer.h"

#include <algorithm>
#include <utility>

#include "output/census_view.h"

namespace tidewaiter::agent {

Observer::Observer(Sources sources, const Configuration& configuration, std::shared_ptr<const Setup> setup,
                   base::Instant start)
    : census_(std::move(sources.network_namespace), configuration.look, std::move(sources.socket_changes)),
      probe_(std::move(sources.connects)),
      socket_ends_(std::move(sources.socket_ends)),
      bypass_(std::move(sources.bypass)),
      programs_(std::move(sources.programs)),
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
  read_connects(now.steady);
  tracker_.note_sessions(*sample);
  auto fresh = std::make_shared<Look>();
  fresh->sample = std::move(*sample);
  if (probe_) fresh->lost = tracker_.connects().lost;
  if (probe_ && !probe_->canary().is_blind()) fresh->connects = tracker_.connects();
  keep_watched(fresh->sample);
  read_host(*fresh, now.steady);
  if (is_comparable_) {
    const telemetry::UnmetLoad unmet{fresh->connects ? &*fresh->connects : nullptr,
                                     programs_ ? &programs_->refused() : nullptr};
    demand_.observe(last_look_->sample, fresh->sample, unmet);
  }
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
      census_.watch(std::move(*reopened));
      if (probe_) {
        if (auto watched = probe_->watch(census_.network_namespace()); !watched) return tl::unexpected(watched.error());
      }
      demand_ = telemetry::DemandTracker(configuration_.demand);
      is_comparable_ = false;
    }
  }
  return census_.look(now);
}

/// A reading that fails leaves the last one; it is told like a look that fails, but costs no window.
void Observer::read_connects(base::Instant now) {
  if (!probe_) return;
  probe_->test_hooks(census_.network_namespace(), now);
  probe_->drain([this](const telemetry::ConnectEvent& event) { tracker_.on_event(event); });
  if (const auto reading = probe_->read(now)) {
    tracker_.observe(*reading);
  } else {
    last_error_ = reading.error().message();
  }
}

/// What the window showed beside its tuples. The hook's counts come after the counters' (ListenerDropCounts).
void Observer::read_host(Look& fresh, base::Instant now) {
  telemetry::HostSignals& host = fresh.host;
  if (programs_) {
    programs_->close(now);
    host.programs = programs_->programs();
  }
  fresh.sources = sources_now(host);
  if (bypass_) host.bypass = bypass_->look(now);
  if (socket_ends_) {
    if (const auto drained = socket_ends_->drain(fresh.sample.plan); !drained) last_error_ = drained.error().message();
    host.hints = socket_ends_->take();
  }
  if (!is_comparable_) return;
  host.handshakes = telemetry::handshake_deltas(last_look_->sample, fresh.sample);
  telemetry::ListenerDropCounts counts{host.handshakes,
                                       telemetry::listener_drops_between(last_look_->sample, fresh.sample),
                                       std::nullopt, last_look_->host.drops.ahead};
  if (probe_ && probe_->sees_dropped_acks() && fresh.connects && last_look_->connects) {
    const auto dropped = [](const Look& look) {
      std::uint64_t sum = 0;
      for (const telemetry::ListenerHandshakes& listener : look.connects->listeners) sum += listener.dropped_final_acks;
      return sum;
    };
    counts.final_acks = dropped(fresh) - std::min(dropped(fresh), dropped(*last_look_));
  }
  host.drops = telemetry::split_listener_drops(counts);
}

/// What is attached, and what of it works.
std::vector<output::Source> Observer::sources_now(const telemetry::HostSignals& host) const {
  std::vector<output::Source> sources = setup_->sources;
  for (output::Source& source : sources) {
    if (!source.is_active) continue;
    if (source.name == "application_events" && host.programs->rings == 0) {  // heard means that somebody speaks
      source.needs = "a program that records its events (tidewaiter/events.h)";
    } else if (probe_ && (source.name == "bpf_state" || source.name == "bpf_cgroup_state")) {
      source.needs = probe_->canary().needs();
    }
    source.is_active = source.needs.empty();
  }
  return sources;
}

std::vector<int> Observer::descriptors() const {
  std::vector<int> descriptors;
  if (const auto descriptor = census_.descriptor()) descriptors.push_back(*descriptor);
  if (probe_) descriptors.push_back(probe_->descriptor());
  if (socket_ends_) descriptors.push_back(socket_ends_->descriptor().get());
  if (programs_) descriptors.push_back(programs_->descriptor());
  return descriptors;
}

std::shared_ptr<Snapshot> Observer::on_events(base::Moment now) {
  census_.drain();
  if (programs_) programs_->drain(now.steady);
  if (socket_ends_ && last_look_) {
    if (const auto drained = socket_ends_->drain(last_look_->sample.plan); !drained) {
      last_error_ = drained.error().message();
      socket_ends_.reset();  // or its descriptor would be readable for ever
    }
  }
  return on_connects(now);
}

std::shared_ptr<Snapshot> Observer::on_connects(base::Moment now) {
  if (!probe_) return nullptr;
  std::vector<telemetry::Tuple> failed;
  probe_->drain([&](const telemetry::ConnectEvent& event) {
    tracker_.on_event(event);
    if (event.is_guard() && (failed.empty() || failed.back() != event.tuple)) failed.push_back(event.tuple);
  });
  if (!last_look_) return nullptr;
  std::sort(failed.begin(), failed.end());
  failed.erase(std::unique(failed.begin(), failed.end()), failed.end());
  bool has_changed = false;
  for (const telemetry::Tuple& tuple : failed) has_changed = guard(tuple, now.steady) || has_changed;
  if (!has_changed) return nullptr;
  auto result = snapshot(round_, now);
  for (control::TupleDecision& tuple : round_.tuples) tuple.decision.transition.reset();
  round_.host.transition.reset();
  return result;
}

/// True when the tuple's or the host's state changes.
bool Observer::guard(const telemetry::Tuple& tuple, base::Instant now) {
  control::Round round = controller_.guard(tuple, control::Guard::kLocalConnectFailure, now);
  control::TupleDecision& decision = round.tuples.front();
  const bool has_changed = decision.decision.transition || round.host.transition;
  auto place = std::lower_bound(
      round_.tuples.begin(), round_.tuples.end(), tuple,
      [](const control::TupleDecision& entry, const telemetry::Tuple& key) { return entry.tuple < key; });
  if (place == round_.tuples.end() || place->tuple != tuple) place = round_.tuples.insert(place, decision);
  *place = std::move(decision);
  const auto earlier = round_.host.transition;  // of another tuple's guard a moment ago
  round_.host = std::move(round.host);
  if (!round_.host.transition) round_.host.transition = earlier;
  return has_changed;
}

/// Tuples that are not GREEN stay in the sample when their last socket goes, and those whose connects leave none come
/// in: with no port in use, which is true.
void Observer::keep_watched(telemetry::Sample& sample) const {
  const std::size_t seen = sample.tuples.size();
  std::vector<telemetry::Tuple> kept = tracker_.busy();
  kept.insert(kept.end(), unsettled_.begin(), unsettled_.end());
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  for (const telemetry::Tuple& tuple : kept) {
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
    telemetry::Features features;
    if (look.connects) tracker_.add_to(key, features);
    windows_of_tuples_.push_back({key, control::window_input(tuple.outlook, plan, key, features), true});
  }
  control::Round round = controller_.window(windows_of_tuples_, control::idle_window(plan), now);
  unsettled_.clear();
  for (const control::TupleDecision& tuple : round.tuples) {
    if (tuple.decision.standing.state != control::State::kGreen) unsettled_.push_back(tuple.tuple);
  }
  round_ = round;
  for (control::TupleDecision& tuple : round_.tuples) tuple.decision.transition.reset();
  round_.host.transition.reset();
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
