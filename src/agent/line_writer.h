// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

namespace tidewaiter::agent {

/// Writes to a pipe, file or terminal that may be slow, without ever being stuck in it.
class LineWriter {
 public:
  enum class Outcome : std::uint8_t { kWritten, kAbandoned, kClosed, kFailed };

  explicit LineWriter(int descriptor) : descriptor_(descriptor) {}

  /// The whole of `line`, or kAbandoned when the reader does not read and `is_stopping` was set meanwhile, or kClosed
  /// when there is no reader any more, or kFailed when the system refuses it (errno says why). Once a line was
  /// abandoned, later ones do not wait at all. After an abandoned line the next one begins on a new line.
  [[nodiscard]] Outcome write(std::string_view line, const std::atomic<bool>& is_stopping);

 private:
  int descriptor_;
  bool has_given_up_ = false;
  bool is_broken_ = false;  ///< the last line was abandoned in its middle
};

}  // namespace tidewaiter::agent
