// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include "base/instant.h"
#include "base/result.h"
#include "lab/interruption.h"
#include "lab/leftovers.h"
#include "lab/report.h"

namespace tidewaiter::lab {

/// Hears a scenario as it unfolds, for people. Called by one thread at a time.
class Audience {
 public:
  virtual ~Audience() = default;
  virtual void on_event(const TimelineEvent& event) = 0;

  /// How far it is (`share` of 1) and what can be seen now; comes several times a second.
  virtual void on_progress(double t_s, double share, const std::string& text) = 0;
};

/// What a run of the lab was asked for.
struct LabOptions {
  std::uint64_t seed = 1;
  Keep keep = Keep::kNo;  ///< of temporary directories
  std::string program;    ///< path of the tidewaiter program
  std::filesystem::path temporary_root = "/tmp";
};

/// All that a scenario has of the world outside its topology: time, seed, directories, and where to tell what happened.
/// Threads: all, except take_report().
class Context {
 public:
  /// `audience` may be null. The scenario begins now.
  Context(std::string scenario, LabOptions options, const Interruption& interruption, Audience* audience);

  [[nodiscard]] const LabOptions& options() const { return options_; }
  [[nodiscard]] std::uint64_t seed() const { return options_.seed; }

  /// Seconds since the scenario began.
  [[nodiscard]] double seconds_at(base::Instant time) const;
  [[nodiscard]] double seconds_at(base::WallTime time) const;
  [[nodiscard]] double seconds_now() const;
  [[nodiscard]] base::Instant began() const { return began_.steady; }

  /// True when the time came, false when the user wants to stop.
  [[nodiscard]] bool wait_until(base::Instant time) const { return interruption_.wait_until(time); }
  [[nodiscard]] bool is_interrupted() const { return interruption_.is_interrupted(); }

  [[nodiscard]] base::Result<TemporaryDirectory> make_directory() const;

  /// One line of the story and of the timeline.
  void tell(std::string event, std::string text, output::Document detail = output::Document::object());
  void tell_at(base::Instant time, std::string event, std::string text,
               output::Document detail = output::Document::object());
  void show_progress(double share, const std::string& text);

  void expect(std::string what, std::string expected, std::string observed, bool pass);

  /// What was gathered. Ends the scenario.
  [[nodiscard]] Report take_report();

 private:
  LabOptions options_;
  const Interruption& interruption_;
  Audience* audience_;
  base::Moment began_;
  std::mutex mutex_;
  Report report_;
};

}  // namespace tidewaiter::lab
