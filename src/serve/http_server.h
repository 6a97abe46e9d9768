// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "serve/connections.h"
#include "serve/listen_address.h"
#include "serve/protocol.h"
#include "serve/route.h"

namespace tidewaiter::serve {

/// HTTP/1.1 on a loopback address: routes answered to GET and HEAD, JSON errors for everything else, and only for
/// clients that name this machine in their Host header. One thread for all connections, four for the handlers.
class HttpServer {
 public:
  explicit HttpServer(std::vector<Route> routes) : protocol_(std::move(routes)) {}
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer() { stop(); }

  /// Once. Returns the address that was bound, with its port. Errors: those of `listen_on`.
  [[nodiscard]] base::Result<ListenAddress> start(const ListenAddress& address, const Patience& patience = {});

  /// Closes every connection and waits for the handlers that are running, no longer. Without effect when not started.
  void stop();

  [[nodiscard]] Counters counters() const { return connections_ ? connections_->counters() : Counters{}; }

 private:
  Protocol protocol_;
  std::unique_ptr<Connections> connections_;
  std::thread thread_;
};

}  // namespace tidewaiter::serve
