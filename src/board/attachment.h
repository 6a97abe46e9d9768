// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"
#include "board/parameter_block_reader.h"

namespace tidewaiter::board {

/// What a client holds of the agent.
struct Attachment {
  ParameterBlockReader block;
  base::Nanoseconds interval;  ///< between two publications

  /// Hangs up (EPOLLHUP) when the agent ends, or at once when it keeps no more connections; a successor has a block of
  /// its own, so a client whose block stays stale attaches anew.
  base::FileDescriptor connection;
};

/// How long attach waits at most for each step.
inline constexpr base::Nanoseconds kAttachPatience = base::Seconds(1);

/// Asks the agent at the socket for its parameter block. The answer is believed only from root, the caller's own user
/// or the owner of the socket file, and only where the clocks are the same.
/// Errors: kNotFound, no socket there; kUnavailable, nobody serves it, no answer in time, another boot or time
/// namespace; kNotPermitted, a foreign agent; kMalformed, an agent of another version.
[[nodiscard]] base::Result<Attachment> attach(const std::string& path, base::Nanoseconds patience = kAttachPatience);

}  // namespace tidewaiter::board
