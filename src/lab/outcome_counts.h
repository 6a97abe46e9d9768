// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace tidewaiter::lab {

/// How connects ended, by errno; 0 is connected.
using ErrorCounts = std::map<int, std::uint64_t>;

/// "20 connected, 3 ECONNREFUSED".
[[nodiscard]] std::string to_string(const ErrorCounts& counts);

/// What clients saw of their connects, counted in memory that forked processes share. Threads and processes: all.
class OutcomeCounts {
 public:
  [[nodiscard]] static base::Result<OutcomeCounts> create();

  /// Counts one. EINPROGRESS: the client gave up before it had an answer.
  void add(int error) { counts_->by_error.at(static_cast<std::size_t>(error)).fetch_add(1, std::memory_order_relaxed); }

  /// What the client wanted to use is not there.
  void skip(int error) { counts_->skipped = error; }

  [[nodiscard]] ErrorCounts read() const;
  [[nodiscard]] std::optional<int> skipped() const;

 private:
  struct Shared {
    std::array<std::atomic<std::uint64_t>, 256> by_error;
    std::atomic<int> skipped;
  };
  struct Unmap {
    void operator()(Shared* shared) const;
  };
  explicit OutcomeCounts(Shared* shared) : counts_(shared) {}
  std::unique_ptr<Shared, Unmap> counts_;
};

}  // namespace tidewaiter::lab
