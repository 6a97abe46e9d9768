// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <gtest/gtest.h>
#include <optional>
#include <ostream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "kernel/connect_probe.h"
#include "kernel/testing/private_network.h"

namespace tidewaiter::telemetry {

/// What a failed expectation shows.
inline void PrintTo(const ConnectTotals& totals, std::ostream* out) {
  *out << "attempts " << totals.attempts << ", established " << totals.established;
  for (std::size_t i = 0; i < kConnectCauses; ++i) {
    if (totals.ended[i] != 0) *out << ", " << name(static_cast<ConnectCause>(i)) << ' ' << totals.ended[i];
  }
  *out << ", probes " << totals.port_probes << ", collisions " << totals.collisions << ", unattributed "
       << totals.pre_syn_unattributed << ", prohibited " << totals.prohibited << ", SYN retransmits "
       << totals.syn_retransmits << ", retries " << totals.retries << ", inferred " << totals.inferred;
}

}  // namespace tidewaiter::telemetry

namespace tidewaiter::kernel {

inline base::Instant now() { return base::Instant(std::chrono::steady_clock::now()); }

/// Waits until `holds()`, in small steps. False: it did not within ten seconds.
template <class Condition>
bool eventually(const Condition& holds) {
  const base::Instant deadline = now() + base::Seconds(10);
  while (!holds()) {
    if (now() > deadline) return false;
    const timespec step{0, 1'000'000};
    nanosleep(&step, nullptr);
  }
  return true;
}

/// What `work` returns in a process of its own.
template <class Work>
int in_a_child(const Work& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

inline std::uint64_t& ended(telemetry::ConnectTotals& totals, telemetry::ConnectCause cause) {
  return totals.ended[static_cast<std::size_t>(cause)];
}

inline telemetry::ConnectTotals counted(std::uint64_t attempts, std::uint64_t established) {
  telemetry::ConnectTotals expected;
  expected.attempts = attempts;
  expected.established = established;
  return expected;
}

/// Without times: those are not known beforehand.
inline telemetry::ConnectTotals counts_of(telemetry::ConnectTotals totals) {
  totals.connect_time = totals.search_time = base::Nanoseconds(0);
  totals.connect = totals.given_up = totals.search = {};
  return totals;
}

/// The row of a source; absent: there is none.
inline std::optional<SourceRow> row_of(const SourceTable& table, const std::string& source) {
  for (const SourceRow& row : table) {
    if (row.name == source) return row;
  }
  return std::nullopt;
}

/// A probe in a network of its own.
class ConnectFixture {
 protected:
  static inline const telemetry::Address kLoopback = telemetry::Address::v4(0x7f000001);
  static constexpr std::uint16_t kPort = 9000;

  base::Result<void> make_network() {
    auto network = testing::PrivateNetwork::create();
    if (!network) return tl::unexpected(network.error());
    network_.emplace(std::move(*network));
    return {};
  }
  base::Result<void> attach() {
    const auto self = NetworkNamespace::open("self");
    if (!self) return tl::unexpected(self.error());
    table_.clear();
    auto probe = ConnectProbe::attach(*self, options_, table_);
    if (!probe) return tl::unexpected(probe.error());
    probe_.emplace(std::move(*probe));
    return {};
  }

  telemetry::ConnectTotals totals_at(base::Instant time, const telemetry::Tuple& tuple) {
    const auto reading = probe_->read(time);
    EXPECT_TRUE(reading);
    const telemetry::ConnectTotals* found = reading ? reading->find(tuple) : nullptr;
    return found == nullptr ? telemetry::ConnectTotals{} : *found;
  }
  telemetry::ConnectTotals totals(const telemetry::Address& source, const telemetry::Address& destination,
                                  std::uint16_t port) {
    return totals_at(now(), {source, destination, port});
  }
  telemetry::ConnectTotals totals() { return totals(kLoopback, kLoopback, kPort); }

  std::vector<telemetry::ConnectEvent> events() {
    std::vector<telemetry::ConnectEvent> events;
    probe_->drain([&](const telemetry::ConnectEvent& event) { events.push_back(event); });
    return events;
  }

  std::optional<testing::PrivateNetwork> network_;
  ConnectProbeOptions options_;
  SourceTable table_;
  std::optional<ConnectProbe> probe_;
};

inline std::string name_of(const ::testing::TestParamInfo<ConnectVariant>& shape) {
  constexpr std::array<const char*, 4> kNames = {"typed", "raw", "cgroup", "cgroup_plain"};
  return kNames.at(static_cast<std::size_t>(shape.param));
}

inline const auto kShapesWithConnectHook =
    ::testing::Values(ConnectVariant::kTyped, ConnectVariant::kCgroup, ConnectVariant::kCgroupPlain);

/// Every test against some shapes of the programs.
class ShapesOfConnectProbe : public ConnectFixture, public ::testing::TestWithParam<ConnectVariant> {
 protected:
  ShapesOfConnectProbe() { options_.surroundings.shape = GetParam(); }

  static bool is_of_cgroup() { return GetParam() >= ConnectVariant::kCgroup; }
  static bool is_plain() { return GetParam() == ConnectVariant::kCgroupPlain; }
};

}  // namespace tidewaiter::kernel
