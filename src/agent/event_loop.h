// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"

namespace tidewaiter::agent {

/// What the observer's thread waits on: a time, SIGINT and SIGTERM, a stop from another thread, a descriptor. Blocks
/// the two signals for the calling thread and those it starts. Move-only.
class EventLoop {
 public:
  enum class Event : std::uint8_t { kTime, kStop, kReadable };

  [[nodiscard]] static base::Result<EventLoop> create();

  /// Waits on one more descriptor, level-triggered.
  [[nodiscard]] base::Result<void> watch(int descriptor);

  /// The first of what comes; a stop before all else.
  [[nodiscard]] Event wait(base::Instant until, base::Instant now);

  /// From any thread.
  void stop();

 private:
  base::FileDescriptor poll_;
  base::FileDescriptor timer_;
  base::FileDescriptor signals_;
  base::FileDescriptor stop_;
};

}  // namespace tidewaiter::agent
