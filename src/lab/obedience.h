// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "base/result.h"
#include "lab/client_socket.h"
#include "telemetry/address.h"

namespace tidewaiter::lab {

/// The connect rate that the agent's parameter block lets a client of `destination` have, as a client reads it: of its
/// tuple, and by the stale set when the agent is silent. Absent: no limit. Threads: all.
using ConnectLimit = std::function<std::optional<double>()>;

/// Attaches to the agent of `state_directory`. Errors: those of board::attach.
[[nodiscard]] base::Result<ConnectLimit> obey_agent(const std::filesystem::path& state_directory,
                                                    const telemetry::Address& source, const Endpoint& destination);

}  // namespace tidewaiter::lab
