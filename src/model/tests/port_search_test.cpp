// SPDX-License-Identifier: Apache-2.0
#include "model/port_search.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tidewaiter::model {
namespace {

using telemetry::PortHolder;
using telemetry::PortPlan;
using telemetry::PortSet;
using telemetry::PortSettings;
using telemetry::TupleSample;

/// The walk as the kernel does it, from every start: the oracle.
double walked(const TupleSample& sample, const PortPlan& plan) {
  PortSet held;
  for (const auto& use : sample.ports) {
    if (!use.reusable) held.set(use.port);
  }
  const auto can_give = [&](std::uint32_t port) {
    return plan.is_usable(static_cast<std::uint16_t>(port)) && !held.test(port);
  };
  double before = 0;
  for (std::uint32_t parity = 0; parity < 2; ++parity) {
    std::vector<std::uint32_t> ports;
    for (std::uint32_t port = plan.settings().lo + parity; port <= plan.settings().hi; port += 2) ports.push_back(port);
    double sum = 0;
    bool any = false;
    for (std::size_t start = 0; start < ports.size(); ++start) {
      std::size_t steps = 1;
      while (steps <= ports.size() && !can_give(ports[(start + steps - 1) % ports.size()])) ++steps;
      any |= steps <= ports.size();
      sum += static_cast<double>(steps);
    }
    if (any) return before + sum / static_cast<double>(ports.size());
    before += static_cast<double>(ports.size());
  }
  return before;
}

TEST(PortSearch, takes_one_probe_in_an_empty_range) {
  EXPECT_DOUBLE_EQ(expected_probes({}, PortPlan(PortSettings{}, {})), 1.0);
}

TEST(PortSearch, walks_the_whole_preferred_half_past_the_cliff) {
  TupleSample sample;
  for (std::uint32_t port = 32'768; port < 61'000; port += 2) {
    sample.ports.edit().push_back({1, 0, static_cast<std::uint16_t>(port), PortHolder::kLive, false});
  }
  const PortPlan plan{PortSettings{}, {}};
  EXPECT_DOUBLE_EQ(expected_probes(sample, plan), 14'117.0);
  EXPECT_EQ(search_cost(14'117), base::Nanoseconds(945'839));
  sample.ports.edit()[7].reusable = true;
  EXPECT_LT(expected_probes(sample, plan), 14'116.0);
}

TEST(PortSearch, goes_on_where_the_last_one_ended) {
  PortSettings settings;
  settings.lo = 40'000;
  settings.hi = 40'009;
  TupleSample sample;
  for (const int port : {40'002, 40'004})
    sample.ports.edit().push_back({1, 0, static_cast<std::uint16_t>(port), PortHolder::kLive, false});
  const PortPlan plan(settings, {});
  EXPECT_DOUBLE_EQ(expected_probes(sample, plan, 40'000), 3.0);
  EXPECT_DOUBLE_EQ(expected_probes(sample, plan, 40'006), 1.0);
  EXPECT_DOUBLE_EQ(expected_probes(sample, plan, 40'008), 1.0) << "around the end";
}

TEST(PortSearch, equals_the_walk_from_every_start) {
  EXPECT_TRUE(rc::check([] {
    PortSettings settings;
    settings.lo = *rc::gen::inRange<std::uint16_t>(40'000, 40'070);
    settings.hi = static_cast<std::uint16_t>(settings.lo + *rc::gen::inRange(0, 200));
    PortSet owned;
    TupleSample sample;
    const int density = *rc::gen::inRange(0, 101);
    for (std::uint32_t port = settings.lo; port <= settings.hi; ++port) {
      const int roll = *rc::gen::inRange(0, 100);
      if (roll < density) {
        sample.ports.edit().push_back({port, 0, static_cast<std::uint16_t>(port), PortHolder::kLive, roll % 9 == 0});
      } else if (roll > 97) {
        settings.reserved.set(port);
      } else if (roll > 95) {
        owned.set(port);
      }
    }
    const PortPlan plan(settings, owned);
    RC_ASSERT(std::abs(expected_probes(sample, plan) - walked(sample, plan)) < 1e-9);
  }));
}

}  // namespace
}  // namespace tidewaiter::model
