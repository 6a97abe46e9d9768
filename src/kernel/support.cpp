// SPDX-License-Identifier: Apache-2.0
#include "kernel/support.h"

#include <array>

namespace tidewaiter::kernel {
namespace {

constexpr std::array<KernelFeature, 10> kFeatures{{
    {"IP_BIND_ADDRESS_NO_PORT",
     {4, 2, 0},
     "a source address can be chosen without locking a port for everybody",
     "not supported",
     "commit 90c337da1524"},
    {"tcp_tw_reuse = 2",
     {4, 19, 0},
     "TIME_WAITs between loopback addresses are reusable by default",
     "reuse is on or off for every address",
     "commit 79e9fed46038"},
    {"IP_LOCAL_PORT_RANGE",
     {6, 3, 0},
     "a socket can name its own port range; one port pins it",
     "connector: IP_BIND_ADDRESS_NO_PORT and admission only",
     "commit 91d0b78c5177"},
    {"tcp_syn_linear_timeouts",
     {6, 5, 0},
     "the first SYN retransmits come every second",
     "SYN retransmits double from the first one on",
     "Documentation/networking/ip-sysctl.rst",
     &NetworkSettings::syn_linear_timeouts},
    {"parity off",
     {6, 8, 0},
     "a socket with its own port range is searched without preference for one parity",
     "the cliff at half the range stays for every socket",
     "netdev 20231214192939.1962891-3"},
    {"bound idle sockets listed",
     {6, 8, 0},
     "sock_diag shows which bound idle sockets lock ports",
     "locked ports: those of listeners only",
     "iproute2 ae447da6"},
    {"tcp_tw_reuse_delay",
     {6, 14, 0},
     "the age at which a TIME_WAIT becomes reusable is a setting, in milliseconds",
     "one second is assumed",
     "commit ca6a6f93867a",
     &NetworkSettings::tw_reuse_delay_ms},
    {"lock-free port search",
     {6, 15, 0},
     "the port search takes no lock per probed port",
     "searching past the cliff costs more, and more with every core",
     "netdev 20250302124237.3913746-5"},
    {"exact socket iterator",
     {6, 17, 0},
     "a BPF iterator can walk large namespaces",
     "sock_diag walks namespaces of every size",
     "bpf: tcp: Exactly-once socket iteration"},
    {"bind bucket restored",
     {6, 18, 0},
     "a port locked by bind() is free for other destinations once the binder is gone",
     "it stays locked until every socket on it is gone",
     "commit d57f4b874946"},
}};

constexpr std::array<SupportedKernel, 9> kKernels{{
    {"4.18 (RHEL 8)", {4, 18, 0}},
    {"5.10 (Debian 11)", {5, 10, 0}},
    {"5.14 (RHEL 9)", {5, 14, 0}},
    {"6.1 (Debian 12)", {6, 1, 0}},
    {"6.3", {6, 3, 0}},
    {"6.8 (Ubuntu 24.04)", {6, 8, 0}},
    {"6.12 (Debian 13)", {6, 12, 0}},
    {"6.15", {6, 15, 0}},
    {"6.18", {6, 18, 0}},
}};

}  // namespace

std::span<const KernelFeature> kernel_features() { return kFeatures; }

bool has_feature(const KernelFeature& feature, const KernelVersion& version, const NetworkSettings& settings) {
  if (feature.proof != nullptr && (settings.*feature.proof).has_value()) return true;
  return version >= feature.since;
}

std::span<const SupportedKernel> supported_kernels() { return kKernels; }

}  // namespace tidewaiter::kernel
