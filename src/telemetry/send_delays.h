// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>

#include "base/instant.h"
#include "telemetry/features.h"
#include "telemetry/histogram.h"
#include "telemetry/sample.h"

namespace tidewaiter::telemetry {

/// DSD95 of each tuple: the 95th percentile of decision to send attempt, net of what a gate held back on purpose.
///
/// Judged by the sends of a window, or by the last kEnough of the last 30 s where the window has fewer. Tuples that
/// have sent nothing for 30 s are forgotten. Memory: 18 kB per tuple (36 kB once sends were given up). Thread: the
/// caller's.
class SendDelays {
 public:
  static constexpr std::size_t kEnough = 20;
  static constexpr base::Nanoseconds kFarthest = base::Seconds(30);

  enum class Ending : std::uint8_t { kSent, kGivenUp };

  explicit SendDelays(std::size_t max_tuples) : max_tuples_(max_tuples) {}

  /// A child of the current window. Given up: it would have taken at least that long. A negative delay is counted and
  /// enters nothing else. A part of the tuple that is not known is an unspecified address, or port 0.
  void add(const Tuple& tuple, base::Instant at, base::Nanoseconds delay, Ending ending);

  /// Ends the window. `visit` sees each tuple that sent something in it, with the delays of this window alone.
  using Visitor = std::function<void(const Tuple&, const Histogram&)>;
  void close(
      base::Instant now, const Visitor& visit = [](const Tuple&, const Histogram&) {});

  /// As of the last close(); of what was told without a source where nothing was told with this one. Absent: nothing
  /// was sent there in the last 30 s.
  [[nodiscard]] std::optional<Percentile> of(const Tuple& tuple) const;

  [[nodiscard]] std::size_t tuples() const { return tuples_.size(); }

  /// Since the start.
  [[nodiscard]] std::uint64_t omitted() const { return omitted_; }    ///< sends of tuples that had no room
  [[nodiscard]] std::uint64_t negative() const { return negative_; }  ///< sent before they were decided, by the clock

 private:
  struct Send {
    base::Instant at;
    base::Nanoseconds delay;
    Ending ending;
  };
  struct Sends {
    Histogram window;
    std::array<Send, kEnough> recent{};  ///< a ring; the newest is number `count` − 1
    std::uint64_t count = 0;
    std::optional<Percentile> p95;
  };

  [[nodiscard]] static std::optional<Percentile> judge(const Sends& sends, base::Instant now);

  std::size_t max_tuples_;
  std::unordered_map<Tuple, Sends> tuples_;
  std::uint64_t omitted_ = 0;
  std::uint64_t negative_ = 0;
};

}  // namespace tidewaiter::telemetry
