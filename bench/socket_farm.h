// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/result.h"
#include "bench/question.h"
#include "kernel/testing/private_network.h"

namespace tidewaiter::bench {

/// Sockets of a namespace.
struct Population {
  std::size_t all = 0;
  std::size_t time_wait = 0;
};

/// A network namespace full of TCP sockets, for as long as this lives: in TIME_WAIT or established (both ends of
/// each connection counted), over 64 destinations 127.0.0.1 … 127.0.0.64, port 9000, in the default
/// port range. The thread that made it is inside. Needs root.
///
/// The established ones are held by child processes, which die with this one. TIME_WAITs live for 60 s: measure()
/// takes care of that. `tcp_tw_reuse` is 0 inside: none counts as reusable.
class SocketFarm {
 public:
  static constexpr std::size_t kDestinations = 64;
  static constexpr std::uint16_t kPort = 9000;

  /// What the sockets are.
  enum class Mix {
    kHalfTimeWait,
    kEstablished,  ///< all of them; these stay as long as the farm
  };

  /// `sockets` > 0, rounded down to a multiple of 4. Errors: kNotPermitted (not root), or what the kernel refused.
  [[nodiscard]] static base::Result<SocketFarm> build(std::size_t sockets, Mix mix = Mix::kHalfTimeWait);

  SocketFarm(SocketFarm&& other) noexcept;
  SocketFarm& operator=(SocketFarm&&) = delete;
  ~SocketFarm();

  /// Runs `work` while 99 % to 101 % of the sockets are there, before it and after it; otherwise builds them anew and
  /// runs it again. Errors: those of `work`, or kUnavailable when the sockets were gone each time.
  [[nodiscard]] base::Result<void> measure(const std::function<base::Result<void>()>& work);

  /// Counted by a census in a process of its own, so that the caller does not grow.
  [[nodiscard]] static base::Result<Population> count();

 private:
  SocketFarm(std::size_t sockets, Mix mix)
      : sockets_(sockets / 4 * 4), time_waits_(mix == Mix::kEstablished ? 0 : sockets_ / 2) {}

  [[nodiscard]] base::Result<void> fill();
  void empty();
  [[nodiscard]] base::Result<void> leave_time_waits(const base::FileDescriptor& listener) const;
  [[nodiscard]] base::Result<void> start_holder(const base::FileDescriptor& listener, std::size_t first,
                                                std::size_t connections);
  [[nodiscard]] base::Result<bool> is_full() const;

  std::size_t sockets_;
  std::size_t time_waits_;
  std::optional<kernel::testing::PrivateNetwork> network_;
  base::FileDescriptor listener_;
  std::vector<pid_t> holders_;
  base::Instant filled_at_{};
};

/// Measures in the farm and reports the rows, or why there are none under the name `what`.
void measure_rows(SocketFarm& farm, Report& report, const std::string& what,
                  const std::function<base::Result<std::vector<Row>>()>& work);

}  // namespace tidewaiter::bench
