// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serve/route.h"

namespace tidewaiter::serve {

/// From the head of a request to the bytes of its response: HTTP/1.1 without sockets or time. Thread-safe.
///
/// The grammar is cpp-httplib's. Kept from it are: Range (its parser recurses as deep as the header is long),
/// Accept-Encoding (compression costs more than loopback) and bodies (no route takes one: the answer is given, then
/// the connection ends).
class Protocol {
 public:
  explicit Protocol(std::vector<Route> routes);
  Protocol(const Protocol&) = delete;
  Protocol& operator=(const Protocol&) = delete;
  ~Protocol();

  struct Answer {
    std::string bytes;
    int status = 0;
    bool keep_open = false;
  };

  /// `head`: request line and headers with the empty line at the end. `is_last`: tell the client that the connection
  /// closes after this answer.
  [[nodiscard]] Answer answer(const std::string& head, bool is_last) const;

  /// The answer to a head that is longer than the server reads.
  [[nodiscard]] static Answer head_too_large();

 private:
  class Grammar;
  std::unique_ptr<Grammar> grammar_;
};

}  // namespace tidewaiter::serve
