// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/instant.h"
#include "base/result.h"
#include "output/documents.h"

namespace tidewaiter::cli {

/// Where the agent answers: `url` where it is given ("http://127.0.0.1:9650"), else the address that an agent left in
/// the state directory. Only where neither is given, and the default directory has none, it is the default address.
/// Errors: kUnavailable when the given directory has no address: another agent must not answer in its place.
[[nodiscard]] base::Result<std::string> agent_url(const std::string& url, const std::string& state_directory);

/// `GET …/api/v1/status` of the agent at agent_url(). Errors: its own; kUnavailable when no agent answers, or it has no
/// window yet; kMalformed when it is no status.
[[nodiscard]] base::Result<output::Document> get_status(const std::string& url, const std::string& state_directory,
                                                        base::Nanoseconds timeout);

}  // namespace tidewaiter::cli
