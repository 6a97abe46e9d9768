// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lab/scenario.h"

/// Every scenario, each declared in the file of its name. A new one is a file, a line here and a line in the table of
/// scenario.cpp.
namespace tidewaiter::lab {

extern const Scenario kPortExhaustion;
extern const Scenario kSteady;
extern const Scenario kRamps;
extern const Scenario kClosedLoop;
extern const Scenario kAgentKilled;
extern const Scenario kConnectOutcomes;
extern const Scenario kReaction;
extern const Scenario kRetryBurst;
extern const Scenario kDeadVenue;
extern const Scenario kParityCliff;

}  // namespace tidewaiter::lab
