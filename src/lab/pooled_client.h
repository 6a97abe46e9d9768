// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "lab/attempt_log.h"
#include "lab/client_socket.h"
#include "lab/network.h"

namespace tidewaiter::lab {

struct PooledOptions {
  Endpoint server;
  std::uint32_t connections = 8;
  double requests_per_s = 50;
};

/// A client that keeps its connections and sends its requests through them in turn. A broken one is opened again.
/// Threads: one of its own, inside the network.
class PooledClient {
 public:
  [[nodiscard]] static base::Result<std::unique_ptr<PooledClient>> start(const Network& network, PooledOptions options);
  PooledClient(const PooledClient&) = delete;
  PooledClient& operator=(const PooledClient&) = delete;
  ~PooledClient();

  [[nodiscard]] const AttemptLog& log() const { return log_; }
  [[nodiscard]] std::uint64_t requests() const { return requests_; }                ///< answered
  [[nodiscard]] std::uint64_t failed_requests() const { return failed_requests_; }  ///< not answered

 private:
  explicit PooledClient(PooledOptions options) : options_(options) {}
  void work();
  void request(base::FileDescriptor& connection);

  PooledOptions options_;
  AttemptLog log_;
  std::atomic<std::uint64_t> requests_ = 0;
  std::atomic<std::uint64_t> failed_requests_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace tidewaiter::lab
