// SPDX-License-Identifier: Apache-2.0
#include "lab/context.h"

#include <algorithm>

#include "lab/clock.h"

namespace tidewaiter::lab {

Context::Context(std::string scenario, LabOptions options, const Interruption& interruption, Audience* audience)
    : options_(std::move(options)), interruption_(interruption), audience_(audience), began_(read_clocks()) {
  report_.scenario = std::move(scenario);
  report_.seed = options_.seed;
}

double Context::seconds_at(base::Instant time) const { return to_seconds(time - began_.steady); }
double Context::seconds_at(base::WallTime time) const { return to_seconds(time - began_.wall); }
double Context::seconds_now() const { return seconds_at(read_clock()); }

base::Result<TemporaryDirectory> Context::make_directory() const {
  return TemporaryDirectory::create(options_.temporary_root, options_.keep);
}

void Context::tell(std::string event, std::string text, output::Document detail) {
  tell_at(read_clock(), std::move(event), std::move(text), std::move(detail));
}

void Context::tell_at(base::Instant time, std::string event, std::string text, output::Document detail) {
  TimelineEvent told{seconds_at(time), std::move(event), std::move(text), std::move(detail)};
  const std::lock_guard lock(mutex_);
  if (audience_ != nullptr) audience_->on_event(told);
  report_.timeline.push_back(std::move(told));
}

void Context::show_progress(double share, const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (audience_ != nullptr) audience_->on_progress(seconds_now(), std::clamp(share, 0.0, 1.0), text);
}

void Context::expect(std::string what, std::string expected, std::string observed, bool pass) {
  const std::lock_guard lock(mutex_);
  report_.expectations.push_back({std::move(what), std::move(expected), std::move(observed), pass});
}

Report Context::take_report() {
  const std::lock_guard lock(mutex_);
  report_.duration_s = seconds_now();
  std::stable_sort(report_.timeline.begin(), report_.timeline.end(),
                   [](const TimelineEvent& left, const TimelineEvent& right) { return left.t_s < right.t_s; });
  return std::move(report_);
}

}  // namespace tidewaiter::lab
