// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "lab/client_socket.h"
#include "lab/network.h"

namespace tidewaiter::lab {

enum class Protocol : std::uint8_t { kTcp, kMptcp };

struct ListenOptions {
  Protocol protocol = Protocol::kTcp;
  bool fast_open = false;  ///< takes data in the SYN (RFC 7413), where the network's tcp_fastopen allows it
};

/// A non-blocking listener in the calling thread's network, with the longest backlog.
[[nodiscard]] base::Result<base::FileDescriptor> listen_on(const Endpoint& endpoint, const ListenOptions& options = {});

/// A server that echoes and closes after its client, never first. Threads: one of its own.
class EchoServer {
 public:
  [[nodiscard]] static base::Result<std::unique_ptr<EchoServer>> start(const Network& network, const Endpoint& endpoint,
                                                                       const ListenOptions& options = {});
  EchoServer(const EchoServer&) = delete;
  EchoServer& operator=(const EchoServer&) = delete;
  ~EchoServer();

 private:
  EchoServer() = default;
  void serve();
  void accept_all();
  void echo(int connection);

  base::FileDescriptor listener_;
  base::FileDescriptor events_;
  base::FileDescriptor stop_;
  std::vector<base::FileDescriptor> connections_;  ///< by descriptor number
  std::thread thread_;
};

}  // namespace tidewaiter::lab
