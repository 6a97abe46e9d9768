// SPDX-License-Identifier: Apache-2.0
#include "agent/privileges.h"

#include <array>
#include <fmt/format.h>

namespace tidewaiter::agent {
namespace {

using kernel::LinuxCapability;

constexpr std::array<Privilege, 5> kPrivileges{{
    {LinuxCapability::kBpf, "with CAP_PERFMON or CAP_NET_ADMIN: every connect of every process, as it happens (tier 1)",
     "ports, forecasts and hints of failed connects (tier 0)"},
    {LinuxCapability::kPerfmon, "the cause of every failed connect, and retransmits of either side",
     "fewer causes of failed connects, seen at the cgroup root with CAP_NET_ADMIN, or hints alone"},
    {LinuxCapability::kNetAdmin, "connects that fail before their SYN, and receive buffers beyond net.core.rmem_max",
     "connects that fail before their SYN are not counted, and bursts of socket ends are lost earlier (and counted)"},
    {LinuxCapability::kSysPtrace, "which processes of other users bypass the kernel",
     "processes of other users are not looked into for kernel bypass (and counted)"},
    {LinuxCapability::kSysAdmin, "another network namespace than the own one (--netns)",
     "the own network namespace only"},
}};

}  // namespace

std::span<const Privilege> privileges() { return kPrivileges; }

kernel::CapabilitySet capabilities_to_keep(const Situation& situation) {
  const kernel::CapabilitySet always{LinuxCapability::kBpf, LinuxCapability::kPerfmon, LinuxCapability::kNetAdmin,
                                     LinuxCapability::kSysPtrace};
  const bool needs_sys_admin = !situation.is_own_namespace || !situation.has_cap_bpf;
  return needs_sys_admin ? always | kernel::CapabilitySet{LinuxCapability::kSysAdmin} : always;
}

base::Result<kernel::Capabilities> drop_privileges(const kernel::NetworkNamespace& watched) {
  return kernel::drop_capabilities(
      capabilities_to_keep({watched.is_self(), kernel::is_known_here(LinuxCapability::kBpf)}));
}

std::string describe(const kernel::Capabilities& capabilities, const Situation& situation) {
  std::string text = fmt::format("capabilities: {}", capabilities.effective.to_string());
  const kernel::CapabilitySet useful = capabilities_to_keep(situation);
  for (const Privilege& privilege : kPrivileges) {
    if (!useful.has(privilege.capability) || capabilities.effective.has(privilege.capability)) continue;
    text += fmt::format("; without {}: {}", kernel::name(privilege.capability), privilege.without);
  }
  return text;
}

}  // namespace tidewaiter::agent
