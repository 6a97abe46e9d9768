// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/instant.h"
#include "base/result.h"

namespace tidewaiter::kernel {

/// What a connect of the probe's own has shown.
enum class CanaryEnd : std::uint8_t {
  kSeen,
  kUnseen,   ///< it was made, and the programs have not counted it
  kNotMade,  ///< it came to no SYN: no loopback, no port, denied. Shows nothing
};

/// When the probe tests itself, and what is known from that. Pure.
class ConnectCanary {
 public:
  explicit ConnectCanary(base::Nanoseconds every) : every_(every) {}

  /// At once for the first time.
  [[nodiscard]] bool is_due(base::Instant now) const { return !last_ || now - *last_ >= every_; }

  void note(CanaryEnd end, base::Instant now);

  /// The last one that was made has not been seen.
  [[nodiscard]] bool is_blind() const { return is_blind_; }

  /// Of all, since the beginning.
  [[nodiscard]] std::uint64_t unseen() const { return unseen_; }

  /// What connects need to be seen, for the table of sources; empty: nothing.
  [[nodiscard]] std::string needs() const;

 private:
  base::Nanoseconds every_;
  std::optional<base::Instant> last_;
  std::uint64_t made_ = 0;
  std::uint64_t unseen_ = 0;
  bool is_blind_ = false;
};

/// Connects in the calling thread's network namespace to where nobody can be: port 0 of loopback, refused by the kernel
/// itself. No port is bound, which would be kept from everybody's connects for that time, and no program is disturbed.
/// `announce` is told the cookie of the socket before. True: the connect came as far as SYN_SENT. Never waits. Errors:
/// the socket could not be made.
[[nodiscard]] base::Result<bool> connect_nowhere(const std::function<void(std::uint64_t cookie)>& announce);

}  // namespace tidewaiter::kernel
