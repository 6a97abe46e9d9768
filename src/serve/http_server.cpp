// SPDX-License-Identifier: Apache-2.0
#include "serve/http_server.h"

namespace tidewaiter::serve {

base::Result<ListenAddress> HttpServer::start(const ListenAddress& address, const Patience& patience) {
  auto listener = listen_on(address);
  if (!listener) return tl::unexpected(listener.error());
  const ListenAddress bound = bound_address(*listener);
  connections_ = std::make_unique<Connections>(std::move(*listener), protocol_, patience);
  thread_ = start_thread("http", [connections = connections_.get()] { connections->serve(); });
  return bound;
}

void HttpServer::stop() {
  if (!thread_.joinable()) return;
  connections_->stop();
  thread_.join();
}

}  // namespace tidewaiter::serve
