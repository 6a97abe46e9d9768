// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/instant.h"
#include "base/result.h"
#include "output/documents.h"

namespace tidewaiter::cli {

/// Where the agent answers: `url` where it is given ("http://127.0.0.1:9650"), else the address that an agent left in
/// the state directory (the default one unless given), else the default address.
[[nodiscard]] std::string agent_url(const std::string& url, const std::string& state_directory);

/// `GET url/api/v1/status`. Errors: kUnavailable when no agent answers, or it has no window yet; kMalformed when it is
/// no status.
[[nodiscard]] base::Result<output::Document> get_status(const std::string& url, base::Nanoseconds timeout);

}  // namespace tidewaiter::cli
