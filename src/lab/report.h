// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "output/documents.h"

namespace tidewaiter::lab {

/// What a scenario promised and what was seen.
struct Expectation {
  std::string what;
  std::string expected;
  std::string observed;
  bool pass = false;
};

/// Something that happened.
struct TimelineEvent {
  double t_s = 0;     ///< since the scenario began
  std::string event;  ///< its kind, one word: "cliff", "transition"
  std::string text;   ///< the same as a sentence, for people
  output::Document detail = output::Document::object();
};

/// What became of a scenario.
struct Report {
  std::string scenario;
  std::uint64_t seed = 1;
  double duration_s = 0;
  std::vector<Expectation> expectations;
  std::vector<TimelineEvent> timeline;  ///< in order of time

  /// True when there are expectations and all passed.
  [[nodiscard]] bool has_passed() const;
};

/// `tidewaiter.lab/1`.
[[nodiscard]] output::Document report_document(const Report& report);

/// `tidewaiter.lab-all/1`.
[[nodiscard]] output::Document reports_document(const std::vector<Report>& reports);

}  // namespace tidewaiter::lab
