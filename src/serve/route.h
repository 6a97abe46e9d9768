// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>

namespace tidewaiter::serve {

struct Request {
  std::string path;
  std::multimap<std::string, std::string> query;  ///< decoded

  /// The first value of a query parameter; `otherwise` when it was not given.
  [[nodiscard]] std::string parameter(const std::string& name, const std::string& otherwise = {}) const {
    const auto found = query.find(name);
    return found == query.end() ? otherwise : found->second;
  }
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  /// Names this very content. When given, a client that has it already is told so (304); without it, nothing is kept
  /// by clients.
  std::string etag;
};

/// One path, answered to GET and HEAD. The handler runs on one of the server's own threads, several at a time; what it
/// throws becomes an answer 500.
struct Route {
  std::string path;
  std::function<Response(const Request&)> handler;
};

/// `{"error":{"code","message","hint"}}`.
[[nodiscard]] Response error_response(int status, const std::string& code, const std::string& message,
                                      const std::string& hint);

}  // namespace tidewaiter::serve
