// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "cli/command.h"

namespace tidewaiter::cli {

/// Parses the command line, runs the subcommand, returns the exit status.
[[nodiscard]] int run_program(int argc, const char* const* argv);

/// Tells an error: one line and its hint on standard error and, where JSON is wanted, `tidewaiter.error/1` on standard
/// output. Returns the exit status that fits: 2 for what the caller wrote, 3 for what is not possible here.
[[nodiscard]] ExitCode report(const base::Error& error, bool wants_json);

}  // namespace tidewaiter::cli
