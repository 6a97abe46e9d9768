// SPDX-License-Identifier: Apache-2.0
#include "agent/line_writer.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <poll.h>
#include <string>
#include <unistd.h>

namespace tidewaiter::agent {
namespace {

constexpr int kPatienceMs = 100;

}  // namespace

LineWriter::Outcome LineWriter::write(std::string_view line, const std::atomic<bool>& is_stopping) {
  std::string text(is_broken_ ? "\n" : "");
  text += line;
  std::size_t written = 0;
  while (written < text.size()) {
    pollfd wait{descriptor_, POLLOUT, 0};
    const int ready = poll(&wait, 1, has_given_up_ ? 0 : kPatienceMs);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
      if (!is_stopping) continue;
      has_given_up_ = true;
      is_broken_ = is_broken_ || written > 0;
      return Outcome::kAbandoned;
    }
    // A pipe that is ready takes PIPE_BUF bytes without blocking.
    const std::size_t share = std::min<std::size_t>(text.size() - written, PIPE_BUF);
    const ssize_t count = ::write(descriptor_, text.data() + written, share);
    if (count < 0 && errno == EPIPE) return Outcome::kClosed;
    if (count < 0 && errno != EINTR && errno != EAGAIN) return Outcome::kFailed;
    if (count > 0) written += static_cast<std::size_t>(count);
  }
  is_broken_ = false;
  return Outcome::kWritten;
}

}  // namespace tidewaiter::agent
