// SPDX-License-Identifier: Apache-2.0
#include "lab/report.h"

#include <algorithm>
#include <cmath>

namespace tidewaiter::lab {
namespace {

double rounded(double seconds) { return std::round(seconds * 1000) / 1000; }

}  // namespace

bool Report::has_passed() const {
  return !expectations.empty() && std::all_of(expectations.begin(), expectations.end(),
                                              [](const Expectation& expectation) { return expectation.pass; });
}

output::Document report_document(const Report& report) {
  output::Document document{{"schema", "tidewaiter.lab/1"},
                            {"scenario", report.scenario},
                            {"seed", report.seed},
                            {"duration_s", rounded(report.duration_s)},
                            {"expectations", output::Document::array()},
                            {"timeline", output::Document::array()}};
  for (const Expectation& expectation : report.expectations) {
    document["expectations"].push_back({{"what", expectation.what},
                                        {"expected", expectation.expected},
                                        {"observed", expectation.observed},
                                        {"pass", expectation.pass}});
  }
  for (const TimelineEvent& event : report.timeline) {
    output::Document detail{{"text", event.text}};
    detail.update(event.detail);
    document["timeline"].push_back({{"t_s", rounded(event.t_s)}, {"event", event.event}, {"detail", detail}});
  }
  return document;
}

output::Document reports_document(const std::vector<Report>& reports) {
  output::Document document{{"schema", "tidewaiter.lab-all/1"}, {"scenarios", output::Document::array()}};
  for (const Report& report : reports) document["scenarios"].push_back(report_document(report));
  return document;
}

}  // namespace tidewaiter::lab
