// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidewaiter::telemetry {

/// What moves a process's packets past the kernel's TCP stack.
enum class BypassKind : std::uint8_t {
  kOnload,     ///< OpenOnload: the socket calls of an unmodified program
  kTcpDirect,  ///< TCPDirect (Zetaferno)
  kEfVi,       ///< ef_vi: frames of a Solarflare or AMD adapter
  kVma,        ///< libvma
  kXlio,       ///< libxlio
  kExasock,    ///< ExaNIC / Nexus SmartNIC sockets
  kDpdk,       ///< DPDK, and what is built on it
  kDevice,     ///< a device driven from user space (VFIO, UIO): an adapter perhaps, or another device
};

/// "onload", "tcpdirect", "ef_vi", "vma", "xlio", "exasock", "dpdk", "device".
[[nodiscard]] std::string_view name(BypassKind kind);

/// A process of the namespace whose connects may not be seen here: never GREEN, but "blind here".
struct BypassProcess {
  std::int32_t pid = 0;
  std::string comm;
  BypassKind kind = BypassKind::kOnload;
  std::string evidence;  ///< the library, mapping or device that says so; printable ASCII
};

/// Which processes of a namespace bypass the kernel, as far as this process may look. An empty list means "none" only
/// where is_exhaustive().
struct BypassReport {
  std::vector<BypassProcess> processes;  ///< sorted by pid, a row for each kind
  std::uint32_t inspected = 0;           ///< processes of the namespace that were looked into
  std::uint32_t not_permitted = 0;       ///< processes, of this namespace or not, that this one may not look into
  std::uint32_t descriptors_unread = 0;  ///< of the inspected ones: only their mappings could be read
  std::uint32_t pending = 0;             ///< processes whose turn has not come yet
  bool has_listed = false;               ///< all processes have been listed at least once
  bool are_others_hidden = false;        ///< /proc is mounted with hidepid: whose processes are others' is not known

  [[nodiscard]] bool is_exhaustive() const {
    return has_listed && pending == 0 && not_permitted == 0 && descriptors_unread == 0 && !are_others_hidden;
  }
};

}  // namespace tidewaiter::telemetry
