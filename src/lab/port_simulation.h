// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <vector>

#include "base/instant.h"
#include "telemetry/port_plan.h"
#include "telemetry/sample.h"

namespace tidewaiter::lab {

/// How connects follow each other at a given rate.
enum class Arrivals : std::uint8_t { kPoisson, kEven };

/// One client that closes first, against one destination.
struct PortSimulationOptions {
  std::uint64_t seed = 1;
  std::uint16_t lo = 40'000;
  std::uint16_t hi = 41'999;  ///< inclusive, ≥ lo
  unsigned hz = 250;          ///< ticks of the simulated kernel: gives the step of its timer wheel
  Arrivals arrivals = Arrivals::kPoisson;
  base::Nanoseconds lifetime = base::Milliseconds(10);  ///< of a connection, until the client closes it; ≥ 0
  double reset_share = 0;                               ///< of the closes: by reset, without TIME_WAIT
  double held_share = 0;                                ///< of the connections: never closed (growth)
  std::uint32_t pool = 0;                               ///< warm connections, open from the beginning to the end
  double limit_burst = 5;                               ///< connects that a limit lets through at once, ≥ 1
  telemetry::Tuple tuple{telemetry::Address::v4(0x7f000001), telemetry::Address::v4(0x7f000001), 9'000};
  base::Moment start{};  ///< what the clocks show at the beginning
};

/// What happened to the connects of a stretch of time.
struct ConnectCounts {
  std::uint64_t offered = 0;
  std::uint64_t refused_by_limit = 0;  ///< of offered: not attempted, because the limit was used up
  std::uint64_t attempts = 0;          ///< of offered: the others
  std::uint64_t failed = 0;            ///< of attempts: EADDRNOTAVAIL
  std::uint64_t probes = 0;            ///< ports that all attempts looked at together, the one taken included

  ConnectCounts& operator+=(const ConnectCounts& other);
  friend bool operator==(const ConnectCounts&, const ConnectCounts&) = default;
};

/// The kernel's choice of local ports and its TIME_WAITs, simulated: no sockets, no clock, the same seed gives the same
/// run (docs/design/ports.md, forecast.md).
///
/// connect() walks the preferred parity from 1 to 8 places after where it ended last, then the other parity. A close
/// holds the port for 60 s, then until the next multiple of the timer wheel's step; sock_diag shows 0 ms meanwhile.
/// Cost: each attempt walks to a free port; a failing one costs nothing extra. Thread: the caller's.
class PortSimulation {
 public:
  explicit PortSimulation(const PortSimulationOptions& options = {});

  /// Lets `duration` ≥ 0 pass at a constant offered load ≥ 0, of which at most `admitted_per_s` > 0 is attempted.
  ConnectCounts advance(base::Nanoseconds duration, double offered_per_s,
                        std::optional<double> admitted_per_s = std::nullopt);

  /// What a look at this moment gives.
  [[nodiscard]] telemetry::Sample sample() const;

  [[nodiscard]] base::Nanoseconds elapsed() const { return elapsed_; }
  [[nodiscard]] std::uint32_t free() const { return free_[0] + free_[1]; }
  [[nodiscard]] std::uint32_t free_preferred() const { return free_[0]; }

 private:
  /// What holds a port. Parity and place in it give the port: lo + 2 · place + parity.
  struct Hold {
    std::uint64_t cookie = 0;  ///< 0 = the port is free
    base::Nanoseconds nominal_end{0};
    bool is_time_wait = false;
  };
  struct Event {
    base::Nanoseconds at;
    std::uint16_t port;
  };

  void run_until(base::Nanoseconds time);
  void offer(std::optional<double> admitted_per_s, ConnectCounts& counts);
  [[nodiscard]] bool is_admitted(double admitted_per_s);
  [[nodiscard]] std::optional<std::uint16_t> take_port(std::uint64_t& probes);
  [[nodiscard]] std::uint16_t walk(unsigned parity, std::uint64_t& probes);
  void close(std::uint16_t port);
  void release(std::uint16_t port);
  [[nodiscard]] Hold& hold_of(std::uint16_t port) { return holds_[static_cast<std::size_t>(port - options_.lo)]; }
  [[nodiscard]] bool draw(double share);
  [[nodiscard]] double next_gap();

  PortSimulationOptions options_;
  base::Nanoseconds granule_;
  base::Nanoseconds wheel_phase_;
  std::mt19937_64 random_;
  std::vector<Hold> holds_;       ///< by port − lo
  std::uint32_t size_[2]{};       ///< ports by parity, preferred first
  std::uint32_t free_[2]{};       ///< of those
  std::uint32_t walk_start_ = 0;  ///< place in the preferred parity
  std::deque<Event> closes_;      ///< in order of time, because all connections live equally long
  std::deque<Event> releases_;
  double until_next_arrival_ = 0;  ///< in mean gaps, so that it survives a change of the rate
  base::Nanoseconds limit_time_{0};
  std::uint64_t next_cookie_ = 1;
  base::Nanoseconds elapsed_{0};
};

}  // namespace tidewaiter::lab
