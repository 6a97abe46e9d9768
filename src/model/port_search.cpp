// SPDX-License-Identifier: Apache-2.0
#include "model/port_search.h"

#include <bit>
#include <cmath>

namespace tidewaiter::model {
namespace {

using telemetry::PortSet;

/// The ports of one parity as the walk meets them: those that it must step over, in runs.
struct TakenRuns {
  double positions = 0;  ///< ports of this parity in the range
  double taken = 0;      ///< of those, how many cannot be given
  double extra = 0;      ///< steps beyond the first, summed over all ports to start from
};

/// Steps beyond the first, summed over the starts inside a run of `length` taken ports: 1 + 2 + … + length.
double extra_steps(double length) { return length * (length + 1) / 2; }

/// Port numbers of one parity: bits 0, 2, 4 … or 1, 3, 5 …
constexpr std::uint64_t parity_mask(std::uint32_t first) {
  return first % 2 == 0 ? 0x5555555555555555 : 0xaaaaaaaaaaaaaaaa;
}

TakenRuns taken_runs(const PortSet& held, const telemetry::PortPlan& plan, bool preferred) {
  const std::uint32_t lo = plan.settings().lo;
  const std::uint32_t hi = plan.settings().hi;
  const std::uint32_t first = lo + (preferred ? 0U : 1U);
  TakenRuns runs;
  if (first > hi) return runs;
  const std::uint32_t last = hi - (hi - first) % 2;
  runs.positions = (last - first) / 2 + 1;  // NOLINT: whole number, below 2^15
  double leading = 0;  // run that starts at `first`: may join the run at the end, the walk is cyclic
  double length = 0;
  std::uint32_t start = 0;
  std::uint32_t previous = 0;
  const auto close_run = [&] {
    if (length > 0 && start == first) {
      leading = length;
    } else if (length > 0) {
      runs.extra += extra_steps(length);
    }
    length = 0;
  };
  for (std::uint32_t word = lo / PortSet::kWordBits; word <= hi / PortSet::kWordBits; ++word) {
    std::uint64_t bits = (~plan.usable().words()[word] | held.words()[word]) & parity_mask(first);
    while (bits != 0) {
      const std::uint32_t port = word * PortSet::kWordBits + static_cast<std::uint32_t>(std::countr_zero(bits));
      bits &= bits - 1;
      if (port < first || port > last) continue;
      if (length == 0 || port != previous + 2) {
        close_run();
        start = port;
      }
      ++length;
      ++runs.taken;
      previous = port;
    }
  }
  // The run at the end goes on at the beginning.
  const double trailing = length > 0 && previous == last && start != first ? length : 0;
  if (trailing == 0) close_run();
  if (leading + trailing > 0) runs.extra += extra_steps(leading + trailing);
  return runs;
}

/// Mean steps over all starts; absent when every port is taken.
std::optional<double> mean_steps(const TakenRuns& runs) {
  if (runs.taken >= runs.positions) return std::nullopt;
  return 1.0 + runs.extra / runs.positions;
}

/// Steps from the port after `last_port` in the walk. At least one port of the parity is free.
double steps_from(const PortSet& held, const telemetry::PortPlan& plan, std::uint16_t last_port) {
  const std::uint32_t lo = plan.settings().lo;
  std::uint32_t port = last_port - (last_port - lo) % 2;
  for (double steps = 1;; ++steps) {
    port += 2;
    if (port > plan.settings().hi) port = lo;
    if (plan.is_usable(static_cast<std::uint16_t>(port)) && !held.test(port)) return steps;
  }
}

}  // namespace

double expected_probes(const telemetry::TupleSample& sample, const telemetry::PortPlan& plan,
                       std::optional<std::uint16_t> last_port) {
  PortSet held;
  for (const telemetry::PortUse& use : sample.ports) {
    if (!use.reusable) held.set(use.port);
  }
  const TakenRuns preferred = taken_runs(held, plan, true);
  if (const auto mean = mean_steps(preferred)) {
    return last_port && plan.is_in_range(*last_port) ? steps_from(held, plan, *last_port) : *mean;
  }
  const TakenRuns other = taken_runs(held, plan, false);
  return preferred.positions + mean_steps(other).value_or(other.positions);
}

base::Nanoseconds search_cost(double probes, const PortSearchOptions& options) {
  return base::Nanoseconds(std::llround(probes * static_cast<double>(options.per_probe.count())));
}

}  // namespace tidewaiter::model
