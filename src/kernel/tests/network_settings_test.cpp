// SPDX-License-Identifier: Apache-2.0
#include "kernel/network_settings.h"

#include <cerrno>
#include <gtest/gtest.h>

#include "kernel/host.h"

namespace tidewaiter::kernel {
namespace {

using Files = std::map<std::string, std::string>;

ReadFile reader_of(Files files) {
  return [files = std::move(files)](const std::string& path) -> base::Result<std::string> {
    const auto found = files.find(path);
    if (found == files.end()) return base::fail_errno(ENOENT, path);
    return found->second;
  };
}

Files usual() {
  return {{"/proc/sys/net/ipv4/ip_local_port_range", "40000\t41999\n"},
          {"/proc/sys/net/ipv4/ip_local_reserved_ports", "40010-40019\n"},
          {"/proc/sys/net/ipv4/tcp_tw_reuse", "2\n"},
          {"/proc/sys/net/ipv4/tcp_tw_reuse_delay", "1500\n"},
          {"/proc/sys/net/ipv4/tcp_timestamps", "1\n"},
          {"/proc/sys/net/core/somaxconn", "4096\n"}};
}

TEST(NetworkSettings, make_the_port_settings) {
  const auto settings = read_network_settings(reader_of(usual()));
  EXPECT_EQ(settings.somaxconn, 4096U);
  const auto ports = settings.port_settings().value();
  EXPECT_EQ(ports.lo, 40'000);
  EXPECT_EQ(ports.hi, 41'999);
  EXPECT_EQ(ports.reserved.count(), 10U);
  EXPECT_EQ(ports.reuse, telemetry::TimeWaitReuse::kLoopbackOnly);
  EXPECT_EQ(ports.reuse_delay_ms, 1'500U);
  EXPECT_TRUE(ports.timestamps);
}

TEST(NetworkSettings, name_what_this_kernel_does_not_have) {
  Files files = usual();
  files.erase("/proc/sys/net/ipv4/tcp_tw_reuse_delay");
  files["/proc/sys/net/ipv4/tcp_tw_reuse"] = "sometimes";
  const auto settings = read_network_settings(reader_of(files));
  EXPECT_FALSE(settings.tw_reuse_delay_ms);
  EXPECT_TRUE(settings.absent.contains("tcp_tw_reuse_delay"));
  EXPECT_TRUE(settings.absent.contains("tcp_syncookies"));
  EXPECT_TRUE(settings.absent.contains("tcp_tw_reuse"));
  EXPECT_FALSE(settings.absent.contains("somaxconn"));
  const auto ports = settings.port_settings().value();
  EXPECT_EQ(ports.reuse_delay_ms, 1'000U) << "one second before 6.14";
  EXPECT_EQ(ports.reuse, telemetry::TimeWaitReuse::kNever) << "what is not known shows no room";
}

TEST(NetworkSettings, show_no_reuse_where_timestamps_are_not_known) {
  Files files = usual();
  files.erase("/proc/sys/net/ipv4/tcp_timestamps");
  EXPECT_FALSE(read_network_settings(reader_of(files)).port_settings().value().timestamps);
}

TEST(NetworkSettings, refuse_to_guess_the_port_range) {
  Files files = usual();
  files["/proc/sys/net/ipv4/ip_local_port_range"] = "9 1";
  const auto ports = read_network_settings(reader_of(files)).port_settings();
  ASSERT_FALSE(ports);
  EXPECT_EQ(ports.error().code, base::ErrorCode::kUnavailable);
  EXPECT_NE(ports.error().message().find("9 1"), std::string::npos);
}

TEST(NetworkCounters, leave_out_the_file_that_is_missing_and_keep_the_others) {
  const auto counters = read_network_counters(reader_of(
      {{"/proc/thread-self/net/snmp", "Tcp: ActiveOpens\nTcp: 5\n"}, {"/proc/thread-self/net/netstat", "broken"}}));
  EXPECT_EQ(counters.values.get("Tcp.ActiveOpens"), 5);
  EXPECT_TRUE(counters.absent.contains("netstat"));
  EXPECT_TRUE(counters.absent.contains("sockstat"));
  EXPECT_FALSE(counters.absent.contains("snmp"));
}

TEST(NetworkSettings, are_there_on_this_host) {
  const auto settings = read_network_settings();
  EXPECT_TRUE(settings.port_range);
  EXPECT_TRUE(settings.somaxconn);
  EXPECT_TRUE(read_network_counters().values.get("Tcp.ActiveOpens"));
}

TEST(KernelVersion, reads_releases_of_distributions) {
  EXPECT_EQ(parse_kernel_version("6.18.44").value(), (KernelVersion{6, 18, 44}));
  EXPECT_EQ(parse_kernel_version("4.18.0-553.el8_10.x86_64").value(), (KernelVersion{4, 18, 0}));
  EXPECT_EQ(parse_kernel_version("6.1.0-18-amd64").value(), (KernelVersion{6, 1, 0}));
  EXPECT_EQ(parse_kernel_version("6.8").value(), (KernelVersion{6, 8, 0}));
  for (const char* text : {"", "6", "six.one", "6.", "-1.2", ".1"}) EXPECT_FALSE(parse_kernel_version(text)) << text;
  EXPECT_LT((KernelVersion{6, 1, 99}), (KernelVersion{6, 3, 0}));
  EXPECT_TRUE(running_kernel());
}

TEST(KernelHz, is_a_usual_tick_rate) {
  const auto hz = kernel_hz();
  ASSERT_TRUE(hz);
  EXPECT_TRUE(*hz == 100 || *hz == 250 || *hz == 300 || *hz == 1000) << *hz;
}

}  // namespace
}  // namespace tidewaiter::kernel
