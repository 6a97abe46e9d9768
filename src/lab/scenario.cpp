// SPDX-License-Identifier: Apache-2.0
#include "lab/scenario.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <vector>

#include "lab/network.h"
#include "lab/scenarios/all.h"

namespace tidewaiter::lab {
namespace {

const std::array kScenarios{kPortExhaustion,  kSteady,   kRamps,      kClosedLoop, kAgentKilled,
                            kConnectOutcomes, kReaction, kRetryBurst, kDeadVenue,  kParityCliff};

}  // namespace

std::span<const Scenario> scenarios() { return kScenarios; }

base::Result<Scenario> find_scenario(std::string_view name) {
  const auto found = std::find_if(kScenarios.begin(), kScenarios.end(),
                                  [name](const Scenario& scenario) { return scenario.name == name; });
  if (found != kScenarios.end()) return *found;
  std::vector<std::string_view> names;
  names.reserve(kScenarios.size());
  for (const Scenario& scenario : kScenarios) names.push_back(scenario.name);
  return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("no scenario is called '{}'", name),
                    fmt::format("the scenarios are {}; or all", fmt::join(names, ", ")));
}

base::Result<void> check_lab() {
  const auto network = Network::create();
  if (network) return {};
  base::Error error = network.error();
  error.hint = error.code == base::ErrorCode::kNotPermitted
                   ? "the lab makes network namespaces of its own: run it as root, or with CAP_SYS_ADMIN and "
                     "CAP_NET_ADMIN"
                   : "the lab needs network namespaces (CONFIG_NET_NS)";
  return tl::unexpected(std::move(error));
}

Report run_scenario(const Scenario& scenario, const LabOptions& options, const Interruption& interruption,
                    Audience* audience) {
  Context context(std::string(scenario.name), options, interruption, audience);
  for (const std::string& leftover : remove_leftovers(options.temporary_root)) {
    context.tell("leftover", "removed " + leftover);
  }
  const auto done = scenario.run(context);
  if (context.is_interrupted()) {
    context.expect("the scenario runs to its end", "not interrupted", "interrupted", false);
  } else if (!done) {
    context.expect("the scenario runs to its end", "no error", done.error().message(), false);
  }
  return context.take_report();
}

}  // namespace tidewaiter::lab
