// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace tidewaiter::board {

/// The address of the agent's socket.
class UnixAddress {
 public:
  /// Errors: kInvalidArgument when the path is empty or too long for a socket.
  [[nodiscard]] static base::Result<UnixAddress> of(const std::string& path) {
    UnixAddress address;
    if (path.empty() || path.size() >= sizeof address.address_.sun_path) {
      return base::fail(base::ErrorCode::kInvalidArgument, "'" + path + "' cannot be the path of a socket",
                        "from 1 to 107 bytes");
    }
    address.address_.sun_family = AF_UNIX;
    std::memcpy(address.address_.sun_path, path.c_str(), path.size() + 1);
    return address;
  }

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  [[nodiscard]] static socklen_t size() { return sizeof(sockaddr_un); }

 private:
  sockaddr_un address_{};
};

}  // namespace tidewaiter::board
