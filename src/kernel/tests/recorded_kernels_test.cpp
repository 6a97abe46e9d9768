// SPDX-License-Identifier: Apache-2.0
//
// What kernels from 5.10 to 6.18 said of the same sockets (tools/record_kernel, tests/golden/kernels): one census.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "kernel/diag_wire.h"
#include "kernel/network_settings.h"
#include "kernel/support.h"
#include "telemetry/census_builder.h"
#include "telemetry/pressure.h"

namespace tidewaiter::kernel {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Reads /proc as it was on the recorded kernel.
ReadFile reader_of(const fs::path& directory) {
  return [directory](const std::string& path) -> base::Result<std::string> {
    for (const std::string prefix : {"/proc/sys/", "/proc/thread-self/net/"}) {
      if (!path.starts_with(prefix)) continue;
      const fs::path recorded = directory / (prefix == "/proc/sys/" ? "sys" : "net") / path.substr(prefix.size());
      if (fs::exists(recorded)) return text_of(recorded);
    }
    return base::fail_errno(ENOENT, path);
  };
}

/// Feeds a recorded dump to the sink; every datagram must parse.
void replay(const fs::path& file, telemetry::RowSink& sink) {
  const std::string recorded = text_of(file);
  bool is_done = false;
  for (std::size_t at = 0; at + 4 <= recorded.size();) {
    std::uint32_t length = 0;
    std::memcpy(&length, recorded.data() + at, sizeof length);
    at += sizeof length;
    ASSERT_LE(at + length, recorded.size());
    const auto chunk = parse_dump(std::as_bytes(std::span(recorded).subspan(at, length)), 1, sink);
    ASSERT_TRUE(chunk) << chunk.error().message();
    EXPECT_EQ(chunk->unknown, 0U);
    is_done = chunk->is_done;
    at += length;
  }
  EXPECT_TRUE(is_done);
}

class WaitingSink final : public telemetry::RowSink {
 public:
  explicit WaitingSink(telemetry::ListenerBuilder& listeners) : listeners_(listeners) {}
  void on_row(const telemetry::SocketRow& row) override { listeners_.add_waiting(row); }
  void on_restart() override {}

 private:
  telemetry::ListenerBuilder& listeners_;
};

class RecordedKernel : public ::testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] fs::path directory() const {
    return fs::path(TIDEWAITER_SOURCE_DIR) / "tests/golden/kernels" / GetParam();
  }
};

std::vector<std::string> recorded_kernels() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(TIDEWAITER_SOURCE_DIR) / "tests/golden/kernels")) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST_P(RecordedKernel, gives_the_same_census) {
  const auto settings = read_network_settings(reader_of(directory()));
  const auto ports = settings.port_settings();
  ASSERT_TRUE(ports) << ports.error().message();
  telemetry::ListenerBuilder listeners;
  replay(directory() / "owners.dump", listeners);
  listeners.expect_half_open();
  telemetry::CensusBuilder builder(*ports, listeners);
  replay(directory() / "connections.dump", builder);
  WaitingSink waiting(listeners);
  replay(directory() / "waiting.dump", waiting);
  telemetry::Sample sample;
  builder.finish(sample);

  const auto version = parse_kernel_version(GetParam()).value();
  const bool lists_bound_idle = version >= KernelVersion{6, 8, 0};
  EXPECT_EQ(sample.plan.size(), 1'000U);
  EXPECT_EQ(sample.plan.reserved(), 10U);
  EXPECT_EQ(sample.plan.locked(), lists_bound_idle ? 2U : 1U);
  const auto loopback = telemetry::Address::v4(0x7f000001);
  const auto loopback6 = *telemetry::parse_address("::1");
  ASSERT_EQ(sample.tuples.size(), 3U);
  for (const auto& tuple : sample.tuples) {
    if (tuple.tuple == telemetry::Tuple{loopback, loopback, 9'000}) {
      EXPECT_EQ(tuple.counts.live, 6U) << "five, and a FIN_WAIT2 with a descriptor";
      EXPECT_EQ(tuple.counts.time_wait, 4U) << "three, and a FIN_WAIT2 without one";
      EXPECT_EQ(tuple.counts.live_preferred + tuple.counts.time_wait_preferred, 10U);
    } else if (tuple.tuple == telemetry::Tuple{loopback6, loopback6, 9'100}) {
      EXPECT_EQ(tuple.counts.live, 2U);
    } else {
      EXPECT_EQ(tuple.tuple, (telemetry::Tuple{loopback, loopback, 9'100})) << "v4-mapped, folded";
      EXPECT_EQ(tuple.counts.live, 1U);
    }
  }
  const auto found = listeners.finish();
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[1].port, 9'100);
  EXPECT_EQ(found[1].accept_queue, 3U);
  EXPECT_EQ(found[1].accept_limit, 4U);
  ASSERT_TRUE(found[1].waits) << "tcp_info of every length has it";
  EXPECT_EQ(found[1].waits->count, 3U) << "the queue";
  EXPECT_EQ(found[0].drops, 0U);
}

TEST_P(RecordedKernel, gives_counters_and_says_which_settings_it_lacks) {
  const auto counters = read_network_counters(reader_of(directory()));
  EXPECT_TRUE(counters.absent.empty());
  for (const char* name :
       {"Tcp.ActiveOpens", "Tcp.AttemptFails", "TcpExt.ListenOverflows", "TcpExt.ListenDrops", "TcpExt.TCPReqQFullDrop",
        "TcpExt.TCPSynRetrans", "TcpExt.TCPTimeWaitOverflow", "TcpExt.TWRecycled", "TCP.inuse", "TCP6.inuse"}) {
    EXPECT_TRUE(counters.values.get(name)) << name;
  }
  const auto settings = read_network_settings(reader_of(directory()));
  const auto version = parse_kernel_version(GetParam()).value();
  EXPECT_EQ(settings.tw_reuse_delay_ms.has_value(), (version >= KernelVersion{6, 14, 0}));
  EXPECT_EQ(settings.syn_linear_timeouts.has_value(), (version >= KernelVersion{6, 5, 0}));
  for (const auto& feature : kernel_features()) {
    EXPECT_EQ(has_feature(feature, version, settings), version >= feature.since) << feature.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, RecordedKernel, ::testing::ValuesIn(recorded_kernels()), [](const auto& recorded) {
  std::string name = recorded.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

TEST(KernelSupport, goes_by_a_setting_that_proves_a_feature_ported_back) {
  NetworkSettings settings;
  settings.syn_linear_timeouts = 4;
  const auto features = kernel_features();
  const auto linear = std::find_if(features.begin(), features.end(), [](const auto& feature) {
    return feature.proof == &NetworkSettings::syn_linear_timeouts;
  });
  ASSERT_NE(linear, features.end());
  EXPECT_TRUE(has_feature(*linear, {5, 14, 0}, settings));
  EXPECT_FALSE(has_feature(*linear, {5, 14, 0}, {}));
}

TEST(KernelSupport, covers_the_kernels_from_4_18_on_in_order) {
  const auto kernels = supported_kernels();
  EXPECT_EQ(kernels.front().version, (KernelVersion{4, 18, 0}));
  EXPECT_TRUE(std::is_sorted(kernels.begin(), kernels.end(),
                             [](const auto& left, const auto& right) { return left.version < right.version; }));
}

}  // namespace
}  // namespace tidewaiter::kernel
