// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "telemetry/kernel_bypass.h"

namespace tidewaiter::kernel {

/// That a process bypasses the kernel, and what says so.
struct BypassSign {
  telemetry::BypassKind kind = telemetry::BypassKind::kOnload;
  std::string evidence;  ///< printable ASCII, at most kLongestEvidence

  friend bool operator==(const BypassSign&, const BypassSign&) = default;
};

inline constexpr std::size_t kLongestEvidence = 256;

/// One mapping of /proc/PID/maps.
struct Mapping {
  std::string_view path;  ///< empty: anonymous
  bool is_executable = false;
};

/// A library counts when it is mapped to be run: a file that is merely read is no library of that process. The stubs
/// that programs link to in order to ask whether they are accelerated (libonload_ext, libexasock_ext) do not count, and
/// neither do huge pages by themselves, which databases and virtual machines use too: DPDK's files in them have names
/// of their own.
[[nodiscard]] std::optional<BypassSign> sign_of_mapping(const Mapping& mapping);

/// The target of a link in /proc/PID/fd: devices alone, since any file may be open for reading.
[[nodiscard]] std::optional<BypassSign> sign_of_descriptor(std::string_view target);

/// Reads /proc/PID/maps piece by piece, cut anywhere. Memory: one line, of at most 32 KiB; what a longer one has beyond
/// is passed over.
class MapsReader {
 public:
  /// Appends the signs of all lines that end in `piece`, at most one of each kind. Returns how many lines those are.
  std::size_t feed(std::string_view piece, std::vector<BypassSign>& signs);

  /// The text has ended: takes a last line without an end.
  void finish(std::vector<BypassSign>& signs);

 private:
  void take_line(std::string_view line, std::vector<BypassSign>& signs);
  std::string begun_;  ///< of a line whose end has not come
};

/// All of a text at once.
[[nodiscard]] std::vector<BypassSign> parse_maps(std::string_view text);

/// Adds a sign unless there is one of its kind.
void add_sign(BypassSign sign, std::vector<BypassSign>& signs);

/// What of /proc/PID/stat says who a process is.
struct ProcessStat {
  std::string comm;              ///< printable ASCII
  std::uint64_t start_time = 0;  ///< clock ticks since boot: with the pid an identity
  bool is_kernel_thread = false;
  bool is_zombie = false;
};

/// Errors: kMalformed.
[[nodiscard]] base::Result<ProcessStat> parse_process_stat(std::string_view text);

}  // namespace tidewaiter::kernel
