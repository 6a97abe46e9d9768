// SPDX-License-Identifier: Apache-2.0
#include "lab/port_simulation.h"

#include <algorithm>
#include <cassert>

#include "model/release_schedule.h"
#include "telemetry/census_builder.h"
#include "telemetry/socket_row.h"

namespace tidewaiter::lab {
namespace {

constexpr base::Nanoseconds kTimeWait = base::Milliseconds(telemetry::kTimeWaitMs);
constexpr unsigned kWalkJitter = 8;  // places; net/ipv4/inet_hashtables.c, __inet_hash_connect

base::Nanoseconds seconds_to_duration(double seconds) {
  constexpr double kLongest = 1e9;  // 30 years stand for never
  return base::Nanoseconds(static_cast<std::int64_t>(std::min(seconds, kLongest) * 1e9));
}

}  // namespace

ConnectCounts& ConnectCounts::operator+=(const ConnectCounts& other) {
  offered += other.offered;
  refused_by_limit += other.refused_by_limit;
  attempts += other.attempts;
  failed += other.failed;
  probes += other.probes;
  return *this;
}

PortSimulation::PortSimulation(const PortSimulationOptions& options)
    : options_(options), granule_(model::time_wait_granule(options.hz)), random_(options.seed) {
  assert(options.lo <= options.hi && options.limit_burst >= 1);
  const auto ports = static_cast<std::uint32_t>(options.hi - options.lo + 1);
  holds_.resize(ports);
  size_[0] = free_[0] = (ports + 1) / 2;
  size_[1] = free_[1] = ports / 2;
  wheel_phase_ = base::Nanoseconds(static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(granule_.count())));
  walk_start_ = static_cast<std::uint32_t>(random_() % size_[0]);
  until_next_arrival_ = next_gap();
  std::uint64_t probes = 0;
  for (std::uint32_t i = 0; i < options.pool; ++i) {
    if (!take_port(probes)) break;
  }
}

ConnectCounts PortSimulation::advance(base::Nanoseconds duration, double offered_per_s,
                                      std::optional<double> admitted_per_s) {
  ConnectCounts counts;
  const base::Nanoseconds end = elapsed_ + duration;
  while (offered_per_s > 0) {
    const base::Nanoseconds arrival = elapsed_ + seconds_to_duration(until_next_arrival_ / offered_per_s);
    if (arrival >= end) break;
    run_until(arrival);
    until_next_arrival_ = next_gap();
    offer(admitted_per_s, counts);
  }
  const double rest_s = std::chrono::duration<double>(end - elapsed_).count();
  until_next_arrival_ = std::max(0.0, until_next_arrival_ - rest_s * offered_per_s);
  run_until(end);
  return counts;
}

/// Closes and releases that are due by `time`, in their order.
void PortSimulation::run_until(base::Nanoseconds time) {
  while (true) {
    const bool closes_first = !closes_.empty() && (releases_.empty() || closes_.front().at <= releases_.front().at);
    std::deque<Event>& queue = closes_first ? closes_ : releases_;
    if (queue.empty() || queue.front().at > time) break;
    const Event event = queue.front();
    queue.pop_front();
    elapsed_ = event.at;
    closes_first ? close(event.port) : release(event.port);
  }
  elapsed_ = time;
}

void PortSimulation::offer(std::optional<double> admitted_per_s, ConnectCounts& counts) {
  ++counts.offered;
  if (admitted_per_s && !is_admitted(*admitted_per_s)) {
    ++counts.refused_by_limit;
    return;
  }
  ++counts.attempts;
  const auto port = take_port(counts.probes);
  if (!port) {
    ++counts.failed;
  } else if (!draw(options_.held_share)) {
    closes_.push_back({elapsed_ + options_.lifetime, *port});
  }
}

/// GCRA: a token bucket as one point in time.
bool PortSimulation::is_admitted(double admitted_per_s) {
  assert(admitted_per_s > 0);
  const base::Nanoseconds gap = seconds_to_duration(1 / admitted_per_s);
  const base::Nanoseconds earliest = std::max(limit_time_, elapsed_);
  if (earliest - elapsed_ > seconds_to_duration((options_.limit_burst - 1) / admitted_per_s)) return false;
  limit_time_ = earliest + gap;
  return true;
}

std::optional<std::uint16_t> PortSimulation::take_port(std::uint64_t& probes) {
  for (const unsigned parity : {0U, 1U}) {
    if (free_[parity] == 0) {
      probes += size_[parity];
      continue;
    }
    const std::uint16_t port = walk(parity, probes);
    hold_of(port) = {next_cookie_++, base::Nanoseconds(0), false};
    --free_[parity];
    return port;
  }
  return std::nullopt;
}

/// The next free port of a parity that has one. The walk of the next connect() starts after it.
std::uint16_t PortSimulation::walk(unsigned parity, std::uint64_t& probes) {
  const std::uint32_t start = walk_start_ % size_[parity];
  std::uint32_t steps = 0;
  std::uint16_t port = 0;
  do {
    const std::uint32_t place = (start + steps++) % size_[parity];
    port = static_cast<std::uint16_t>(options_.lo + 2 * place + parity);
  } while (hold_of(port).cookie != 0);
  probes += steps;
  const auto jitter = static_cast<std::uint32_t>(random_() % kWalkJitter);
  walk_start_ = (walk_start_ + std::max(steps - 1, jitter) + 1) % size_[0];
  return port;
}

void PortSimulation::close(std::uint16_t port) {
  if (draw(options_.reset_share)) {
    release(port);
    return;
  }
  const base::Nanoseconds nominal_end = elapsed_ + kTimeWait;
  const std::int64_t turns = (nominal_end + wheel_phase_) / granule_ + 1;  // a timer never fires early
  hold_of(port) = {next_cookie_++, nominal_end, true};
  releases_.push_back({turns * granule_ - wheel_phase_, port});
}

void PortSimulation::release(std::uint16_t port) {
  hold_of(port) = {};
  ++free_[(port - options_.lo) % 2];
}

bool PortSimulation::draw(double share) {
  return share > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < share;
}

double PortSimulation::next_gap() {
  return options_.arrivals == Arrivals::kEven ? 1.0 : std::exponential_distribution<double>(1.0)(random_);
}

telemetry::Sample PortSimulation::sample() const {
  using telemetry::SocketTimer;
  using telemetry::TcpState;
  telemetry::PortSettings settings;
  settings.lo = options_.lo;
  settings.hi = options_.hi;
  telemetry::ListenerBuilder listeners;
  telemetry::CensusBuilder builder(settings, listeners);
  telemetry::SocketRow row;
  row.local = options_.tuple.source;
  row.remote = options_.tuple.destination;
  row.remote_port = options_.tuple.destination_port;
  telemetry::Sample sample;
  sample.at = {options_.start.steady + elapsed_, options_.start.wall + elapsed_};
  sample.kernel.hz = options_.hz;
  for (std::size_t i = 0; i < holds_.size(); ++i) {
    const Hold& hold = holds_[i];
    if (hold.cookie == 0) continue;
    const auto left = std::chrono::ceil<base::Milliseconds>(hold.nominal_end - elapsed_).count();
    row.local_port = static_cast<std::uint16_t>(options_.lo + i);
    row.cookie = hold.cookie;
    row.state = hold.is_time_wait ? TcpState::kTimeWait : TcpState::kEstablished;
    row.timer = hold.is_time_wait ? SocketTimer::kTimeWait : SocketTimer::kNone;
    row.inode = hold.is_time_wait ? 0 : 1;
    row.expires_ms = hold.is_time_wait ? static_cast<std::uint32_t>(std::max<std::int64_t>(left, 0)) : 0;
    builder.on_row(row);
    ++sample.cost.sockets;
  }
  builder.finish(sample);
  return sample;
}

}  // namespace tidewaiter::lab
