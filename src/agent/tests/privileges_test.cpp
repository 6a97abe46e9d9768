// SPDX-License-Identifier: Apache-2.0
#include "agent/privileges.h"

#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/census.h"

namespace tidewaiter::agent {
namespace {

using kernel::CapabilitySet;
using kernel::LinuxCapability;

TEST(Privileges, are_kept_only_where_they_are_of_use) {
  const CapabilitySet usual = capabilities_to_keep({});
  EXPECT_EQ(usual, (CapabilitySet{LinuxCapability::kBpf, LinuxCapability::kPerfmon, LinuxCapability::kNetAdmin,
                                  LinuxCapability::kSysPtrace}));
  Situation elsewhere;
  elsewhere.is_own_namespace = false;
  EXPECT_TRUE(capabilities_to_keep(elsewhere).has(LinuxCapability::kSysAdmin));
  Situation old_kernel;
  old_kernel.has_cap_bpf = false;
  EXPECT_TRUE(capabilities_to_keep(old_kernel).has(LinuxCapability::kSysAdmin));
  EXPECT_FALSE(capabilities_to_keep(elsewhere).has(LinuxCapability::kDacReadSearch));
}

TEST(Privileges, are_told_with_what_is_missing) {
  kernel::Capabilities capabilities;
  capabilities.effective = CapabilitySet{LinuxCapability::kBpf, LinuxCapability::kPerfmon};
  const std::string text = describe(capabilities, {});
  EXPECT_TRUE(text.starts_with("capabilities: CAP_PERFMON, CAP_BPF; without CAP_NET_ADMIN: ")) << text;
  EXPECT_NE(text.find("without CAP_SYS_PTRACE: "), std::string::npos);
  EXPECT_EQ(text.find("without CAP_SYS_ADMIN"), std::string::npos) << "it is of no use here";
  EXPECT_NE(describe({}, {}).find("; without CAP_BPF: ports, "), std::string::npos) << describe({}, {});
  EXPECT_NE(describe({}, {}).find("; without CAP_PERFMON: fewer causes "), std::string::npos) << describe({}, {});
  capabilities.effective = capabilities_to_keep({});
  EXPECT_EQ(describe(capabilities, {}), "capabilities: CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_PERFMON, CAP_BPF");
}

std::string text_of(const std::string& path) {
  std::ifstream file(std::string(TIDEWAITER_SOURCE_DIR) + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Privileges, are_all_in_the_operator_s_page_and_those_of_the_service_in_its_unit) {
  const std::string page = text_of("docs/operations.md");
  for (const Privilege& privilege : privileges()) {
    EXPECT_NE(page.find("`" + kernel::name(privilege.capability) + "`"), std::string::npos)
        << kernel::name(privilege.capability);
  }
  const std::string unit = text_of("packaging/tidewaiter.service.in");
  for (const char* setting : {"AmbientCapabilities=", "CapabilityBoundingSet="}) {
    EXPECT_NE(unit.find(setting + std::string("CAP_BPF CAP_PERFMON CAP_NET_ADMIN\n")), std::string::npos) << setting;
  }
}

TEST(Privileges, once_dropped_leave_what_the_agent_needs_to_look) {
  const pid_t child = fork();
  if (child == 0) {
    const auto watched = kernel::NetworkNamespace::open("self");
    if (!watched) _exit(1);
    const auto left = drop_privileges(*watched);
    if (!left || !capabilities_to_keep({}).contains(left->permitted)) _exit(2);
    kernel::Census census(*kernel::NetworkNamespace::open("self"));
    _exit(census.look({}) ? 0 : 3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Privileges, still_enter_another_namespace_when_that_is_what_is_watched) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to watch another namespace";
  const pid_t child = fork();
  if (child == 0) {
    // The name by a path: another one in all but fact, and entered for each look.
    auto watched = kernel::NetworkNamespace::open("/proc/self/ns/net");
    if (!watched) _exit(1);
    const auto left = drop_privileges(*watched);
    if (!left || !left->effective.has(LinuxCapability::kSysAdmin)) _exit(2);
    kernel::Census census(std::move(*watched));
    _exit(census.look({}) ? 0 : 3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace tidewaiter::agent
