// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tidewaiter::kernel {

/// A kernel release: 6.18.44 of "6.18.44-generic". Distributions port features back; see support.h.
struct KernelVersion {
  int major = 0;
  int minor = 0;
  int patch = 0;

  friend auto operator<=>(const KernelVersion&, const KernelVersion&) = default;
  [[nodiscard]] std::string to_string() const;
};

/// Reads the leading "major.minor[.patch]" of a release string. Errors: kMalformed.
[[nodiscard]] base::Result<KernelVersion> parse_kernel_version(std::string_view release);

/// The running kernel (uname).
[[nodiscard]] base::Result<KernelVersion> running_kernel();

/// Ticks per second of the running kernel (CONFIG_HZ): the resolution of the coarse clock is one tick. Absent where
/// the clock does not tell.
[[nodiscard]] std::optional<unsigned> kernel_hz();

}  // namespace tidewaiter::kernel
