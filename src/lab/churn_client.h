// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"
#include "lab/attempt_log.h"
#include "lab/client_socket.h"
#include "lab/load_shape.h"
#include "lab/network.h"

namespace tidewaiter::lab {

struct ChurnOptions {
  Endpoint server;
  std::uint64_t seed = 1;
  LoadShape load = constant(10);
  base::Nanoseconds lifetime{0};  ///< of a connection, until the client closes it
  double reset_share = 0;         ///< of the closes: by reset
  double held_share = 0;          ///< of the connections: open until release_held()

  /// The rate that the client may connect at, asked before every connect; absent: none. Connects beyond it are refused
  /// by the client itself, not attempted and not repeated.
  std::function<std::optional<double>()> limit = nullptr;
};

/// A client that connects anew for each request: connect, one byte there and back, close first. Connects come as a
/// Poisson process of the load's rate; what a slow connect() delays is made up for, one second of it at most.
/// Threads: one of its own, inside the network.
class ChurnClient {
 public:
  [[nodiscard]] static base::Result<std::unique_ptr<ChurnClient>> start(const Network& network, ChurnOptions options);
  ChurnClient(const ChurnClient&) = delete;
  ChurnClient& operator=(const ChurnClient&) = delete;
  ~ChurnClient();

  /// Replaces the load; the new one begins now.
  void set_load(LoadShape load);

  /// Closes the connections that were held, by a normal close.
  void release_held();

  [[nodiscard]] const AttemptLog& log() const { return log_; }

 private:
  explicit ChurnClient(ChurnOptions options) : options_(std::move(options)), random_(options_.seed) {}
  struct Open {
    base::Instant close_at;
    base::FileDescriptor socket;
  };
  void churn();
  void request(base::Instant now);
  void close_due(base::Instant now);
  [[nodiscard]] bool is_within_limit(base::Instant now);
  [[nodiscard]] double gap() { return std::exponential_distribution<double>(1.0)(random_); }
  [[nodiscard]] bool draw(double share);

  ChurnOptions options_;
  std::mt19937_64 random_;
  std::vector<Open> open_;
  base::Instant limit_time_{};
  AttemptLog log_;

  std::mutex mutex_;
  std::condition_variable changed_;
  base::Instant load_began_{};
  bool is_stopping_ = false;
  std::vector<base::FileDescriptor> held_;
  std::thread thread_;
};

}  // namespace tidewaiter::lab
