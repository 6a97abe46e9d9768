// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/file_descriptor.h"
#include "base/instant.h"

namespace tidewaiter::lab {

/// Lets waits end early when the user wants to stop. Threads: wait_until() from any number of them.
class Interruption {
 public:
  /// Never, unless interrupt() is called.
  Interruption();

  /// Also on SIGINT and SIGTERM, which are blocked while this lives. Make it before the threads whose waits it ends:
  /// they inherit the mask. One per process.
  [[nodiscard]] static Interruption of_signals();

  Interruption(Interruption&&) = default;
  Interruption& operator=(Interruption&&) = delete;
  ~Interruption();

  void interrupt();
  [[nodiscard]] bool is_interrupted() const;

  /// True when the time came, false when interrupted.
  [[nodiscard]] bool wait_until(base::Instant time) const;

 private:
  base::FileDescriptor event_;
  base::FileDescriptor signals_;  ///< readable from the first signal on, because nobody reads it
};

}  // namespace tidewaiter::lab
