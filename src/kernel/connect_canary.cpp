// SPDX-License-Identifier: Apache-2.0
#include "kernel/connect_canary.h"

#include <cerrno>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/file_descriptor.h"

namespace tidewaiter::kernel {

void ConnectCanary::note(CanaryEnd end, base::Instant now) {
  last_ = now;
  if (end == CanaryEnd::kNotMade) return;
  ++made_;
  is_blind_ = end == CanaryEnd::kUnseen;
  if (is_blind_) ++unseen_;
}

std::string ConnectCanary::needs() const {
  if (!is_blind_) return "";
  return fmt::format("hooks that see connects: {} of {} made to test them were not seen", unseen_, made_);
}

base::Result<bool> connect_nowhere(const std::function<void(std::uint64_t cookie)>& announce) {
  const base::FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return base::fail_errno(errno, "socket");
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0) return base::fail_errno(errno, "cookie");
  announce(cookie);
  sockaddr_in nowhere{};
  nowhere.sin_family = AF_INET;
  nowhere.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&nowhere), sizeof nowhere) == 0) return true;
  return errno == EINPROGRESS || errno == ECONNREFUSED;
}

}  // namespace tidewaiter::kernel
