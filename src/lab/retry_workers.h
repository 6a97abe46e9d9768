// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <queue>
#include <random>
#include <utility>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "lab/child_process.h"
#include "lab/client_socket.h"
#include "lab/network.h"
#include "lab/outcome_counts.h"

namespace tidewaiter::lab {

/// When workers that all failed at one moment try again.
enum class RetryPattern : std::uint8_t {
  kInStep,      ///< every `period`, all within `width`
  kFullJitter,  ///< each after its own uniform part of `period`
};

struct RetryTiming {
  RetryPattern pattern = RetryPattern::kInStep;
  base::Nanoseconds period = base::Seconds(1);
  base::Nanoseconds width = base::Milliseconds(40);  ///< of the bursts of kInStep
  base::Nanoseconds begin{0};                        ///< of kFullJitter: within which the first attempts are spread
};

/// The attempts of a number of workers in order of time, without end. Pure.
class RetrySchedule {
 public:
  RetrySchedule(const RetryTiming& timing, std::uint32_t workers, std::uint64_t seed, base::Instant began);

  /// When somebody tries next.
  [[nodiscard]] base::Instant next();

 private:
  [[nodiscard]] base::Nanoseconds draw(base::Nanoseconds below);

  struct Due {
    base::Instant at;
    base::Instant step;  ///< of kInStep: the beginning of the burst
    friend bool operator>(const Due& left, const Due& right) { return left.at > right.at; }
  };
  RetryTiming timing_;
  std::mt19937_64 random_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
};

struct RetryOptions {
  Endpoint server;
  RetryTiming timing;
  std::uint32_t processes = 4;
  std::uint32_t workers = 50;  ///< of each process
  std::uint64_t seed = 1;
};

/// Workers that want a connection and try again and again, each attempt with a socket of its own, in processes of the
/// lab's own. They go with this object.
class RetryWorkers {
 public:
  [[nodiscard]] static base::Result<RetryWorkers> start(const Network& network, const RetryOptions& options);

  /// What they saw so far.
  [[nodiscard]] ErrorCounts seen() const { return counts_.read(); }

 private:
  explicit RetryWorkers(OutcomeCounts counts) : counts_(std::move(counts)) {}
  OutcomeCounts counts_;
  std::vector<std::unique_ptr<ChildProcess>> processes_;
};

}  // namespace tidewaiter::lab
