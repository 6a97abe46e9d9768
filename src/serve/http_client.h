// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/instant.h"
#include "base/result.h"

namespace tidewaiter::serve {

/// Plain HTTP, one request at a time, any host.
class HttpClient {
 public:
  struct Reply {
    int status = 0;
    std::string body;
  };

  /// GET of "http://HOST[:PORT][/PATH[?QUERY]]"; `timeout` bounds the whole exchange. A reply of any status is a reply.
  /// Errors: kInvalidArgument when the URL is not of this form; kUnavailable when nobody answers in time, or with more
  /// than 64 MiB.
  [[nodiscard]] static base::Result<Reply> get(const std::string& url, base::Nanoseconds timeout);
};

}  // namespace tidewaiter::serve
