// SPDX-License-Identifier: Apache-2.0
#include "kernel/host.h"

#include <charconv>
#include <ctime>
#include <fmt/format.h>
#include <sys/utsname.h>

namespace tidewaiter::kernel {

std::string KernelVersion::to_string() const { return fmt::format("{}.{}.{}", major, minor, patch); }

base::Result<KernelVersion> parse_kernel_version(std::string_view release) {
  KernelVersion version;
  const char* at = release.data();
  const char* const end = release.data() + release.size();
  int parts = 0;
  for (int* part : {&version.major, &version.minor, &version.patch}) {
    if (parts > 0) {
      if (at == end || *at != '.') break;
      ++at;
    }
    const auto [rest, error] = std::from_chars(at, end, *part);
    if (error != std::errc{} || *part < 0) break;
    at = rest;
    ++parts;
  }
  if (parts >= 2) return version;
  return base::fail(base::ErrorCode::kMalformed, fmt::format("'{}' is not a kernel release", release.substr(0, 60)));
}

base::Result<KernelVersion> running_kernel() {
  utsname names{};
  uname(&names);
  return parse_kernel_version(names.release);
}

std::optional<unsigned> kernel_hz() {
  timespec resolution{};
  if (clock_getres(CLOCK_MONOTONIC_COARSE, &resolution) != 0) return std::nullopt;
  if (resolution.tv_sec != 0 || resolution.tv_nsec < 100'000) return std::nullopt;  // 10 kHz: no tick any more
  return static_cast<unsigned>((1'000'000'000 + resolution.tv_nsec / 2) / resolution.tv_nsec);
}

}  // namespace tidewaiter::kernel
