// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "base/settings.h"

namespace tidewaiter::kernel {

/// Which hooks look at connects.
enum class ConnectHooks : std::uint8_t {
  kAutomatic,    ///< the best that this kernel and these capabilities allow
  kTracepoints,  ///< state changes of every socket (hook B)
  kCgroup,       ///< connect and sockops programs of the cgroup root (hook A)
  kOff,
};

/// The shapes in which the programs come, best first.
enum class ConnectVariant : std::uint8_t {
  kTyped,        ///< tracepoints typed by BTF
  kRaw,          ///< raw tracepoints
  kCgroup,       ///< cgroup programs that may read the kernel's structures
  kCgroupPlain,  ///< cgroup programs without CAP_PERFMON and without BTF: fewer causes can be told apart
};

/// Where the probe finds what it needs. Empty: where the system has it. Tests say otherwise.
struct ConnectSurroundings {
  std::string cgroup_root;              ///< a directory
  std::string kernel_types;             ///< a file with the kernel's BTF
  std::string trace_files;              ///< a directory: tracefs
  std::optional<ConnectVariant> shape;  ///< the only one that is tried
};

struct ConnectProbeOptions {
  ConnectHooks hooks = ConnectHooks::kAutomatic;
  base::Nanoseconds slow = base::Milliseconds(50);      ///< a connect that took longer is an event
  std::uint64_t max_tuples = 1024;                      ///< counted one by one; 3 KB each, in the kernel
  base::Nanoseconds retire_after = base::Seconds(600);  ///< idle tuples make room when the table is three quarters full
  base::Nanoseconds canary_every = base::Seconds(60);   ///< a connect of the probe's own, to see whether it is seen
  ConnectSurroundings surroundings;                     ///< no setting
};

/// The settings of the probe, bound to `options`.
[[nodiscard]] std::vector<base::Setting> settings_of(ConnectProbeOptions& options);

}  // namespace tidewaiter::kernel
