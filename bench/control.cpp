// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <utility>

#include "bench/question.h"
#include "control/step.h"

namespace tidewaiter::bench {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// What a census knows of a tuple that nothing happens to.
control::WindowInput calm_window() {
  control::WindowInput window;
  window.features.ppr = window.features.ppr_preferred = 0.05;
  window.features.twr = 0.03;
  window.time_to_cliff_s = window.time_to_exhaustion_s = kNever;
  window.is_past_cliff = false;
  window.free_margin = 25'000;
  window.sustainable_per_s = 470;
  return window;
}

/// Every signal known, and trouble enough that a state is held for several reasons.
control::WindowInput full_window() {
  control::WindowInput window = calm_window();
  window.features.ppr = window.features.ppr_preferred = 0.82;
  window.features.twr = 0.75;
  window.features.connects = {40, 1, 2};
  window.features.pooled_connects = {40, 1, 2};
  window.features.connect_time = {4'000, 40};
  window.features.port_search_time = {300, 40};
  window.features.send_delay = {5'000, 40};
  window.features.burst_index = 0.5;
  window.features.retry_queue_depth = 12.0;
  window.features.reconnects_per_s = 20.0;
  window.time_to_cliff_s = 5;
  window.time_to_exhaustion_s = 25;
  return window;
}

/// A tuple that gets the same window every second.
class Stream {
 public:
  explicit Stream(const control::WindowInput& window) : event_(window) {
    for (int i = 0; i < 100; ++i) advance();
  }
  void advance() {
    now_ += base::Seconds(1);
    control::Step next = control::step(std::move(state_), event_, policy_, now_);
    keep(next.decision);
    state_ = std::move(next.state);
  }

 private:
  control::Policy policy_;
  control::Event event_;
  control::TupleState state_;
  base::Instant now_{};
};

class ControlStep final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "control"; }
  [[nodiscard]] std::string summary() const override { return "What does a decision for one tuple cost?"; }

  void answer(const Conditions& conditions, Report& report) override {
    Stream full_stream(full_window());
    Stream calm_stream(calm_window());
    Repeated full([&] { full_stream.advance(); }, kInMicroseconds);
    Repeated calm([&] { calm_stream.advance(); }, kInMicroseconds);
    Row row = row_of("control: a window of a tuple, every signal known and in RED; beside a calm one", "us",
                     compare(conditions.pairs(), full, calm));
    row.bar = Bar{1, Bar::On::kOurs};
    row.note =
        "one step with all 22 conditions, reasons and parameters; the reference is GREEN and knows its ports only";
    report.add(row);
  }
};

const Registration kRegistration([] { return std::make_unique<ControlStep>(); });

}  // namespace
}  // namespace tidewaiter::bench
