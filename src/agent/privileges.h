// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kernel/linux_capabilities.h"
#include "kernel/network_namespace.h"

namespace tidewaiter::agent {

/// What a capability buys the agent, and what there is instead without it.
struct Privilege {
  kernel::LinuxCapability capability;
  std::string_view buys;
  std::string_view without;
};

/// All that the agent has a use for; docs/operations.md tells of each.
[[nodiscard]] std::span<const Privilege> privileges();

/// What decides which of them are of use.
struct Situation {
  bool is_own_namespace = true;  ///< that it watches: another one is entered for each look
  bool has_cap_bpf = true;       ///< Linux 5.8+; before, CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON
};

/// The capabilities that the agent goes on with, if it was given them. Not CAP_DAC_READ_SEARCH: it would add the open
/// devices of other users' processes, whose mappings tell already, at the price of every file of the host.
[[nodiscard]] kernel::CapabilitySet capabilities_to_keep(const Situation& situation);

/// Gives up the others, for good (kernel::drop_capabilities). Call it once files, sockets and hooks are open and before
/// threads start. Returns what is left.
[[nodiscard]] base::Result<kernel::Capabilities> drop_privileges(const kernel::NetworkNamespace& watched);

/// For the log: "capabilities: CAP_BPF, CAP_PERFMON; without CAP_NET_ADMIN …".
[[nodiscard]] std::string describe(const kernel::Capabilities& capabilities, const Situation& situation);

}  // namespace tidewaiter::agent
