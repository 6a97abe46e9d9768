// SPDX-License-Identifier: Apache-2.0
#include "telemetry/census_builder.h"

#include <algorithm>
#include <utility>

#include "telemetry/port_counts.h"

namespace tidewaiter::telemetry {
namespace {

constexpr std::size_t kUsualPorts = 16;  // of a tuple: room that is made at once

/// Drops the second entry of a port in place. `seen` is all clear on entry and on return.
void keep_one_per_port(std::vector<PortUse>& ports, PortSet& seen) {
  // Live entries first, so that they win.
  std::partition(ports.begin(), ports.end(), [](const PortUse& use) { return !use.is_mini_socket(); });
  const auto end = std::remove_if(ports.begin(), ports.end(), [&](const PortUse& use) {
    const bool duplicate = seen.test(use.port);
    seen.set(use.port);
    return duplicate;
  });
  ports.erase(end, ports.end());
  for (const PortUse& use : ports) seen.reset(use.port);
}

/// Sockets that are in the list more than once. Two sockets on one port are another matter.
std::uint32_t count_repeated(const std::vector<PortUse>& ports) {
  std::vector<std::pair<std::uint16_t, std::uint64_t>> sockets;
  sockets.reserve(ports.size());
  for (const PortUse& use : ports) sockets.emplace_back(use.port, use.cookie);
  std::sort(sockets.begin(), sockets.end());
  return static_cast<std::uint32_t>(sockets.end() - std::unique(sockets.begin(), sockets.end()));
}

/// True when a port comes twice. `seen` is all clear on entry and on return.
bool has_duplicate(const std::vector<PortUse>& ports, PortSet& seen) {
  bool found = false;
  for (const PortUse& use : ports) {
    found |= seen.test(use.port);
    seen.set(use.port);
  }
  for (const PortUse& use : ports) seen.reset(use.port);
  return found;
}

/// Asked for by kBoundInactive, such sockets are listed with the state that they have: closed.
bool is_bound_idle(const SocketRow& row) {
  return row.state == TcpState::kBoundInactive || row.state == TcpState::kClose;
}

}  // namespace

void ListenerBuilder::on_row(const SocketRow& row) {
  if (is_bound_idle(row)) {
    if (row.local_port != 0) owned_ports_.set(row.local_port);
    return;
  }
  if (row.state != TcpState::kListen) return;
  listener_ports_.set(row.local_port);
  owned_ports_.set(row.local_port);
  ListenerSample& listener = listeners_[{row.local_port, row.local}];
  listener.address = row.local;
  listener.port = row.local_port;
  ++listener.sockets;
  listener.accept_queue += row.receive_queue;
  listener.accept_limit += row.send_queue;
  if (row.drops) listener.drops = listener.drops.value_or(0) + *row.drops;
}

void ListenerBuilder::on_restart() { *this = ListenerBuilder(); }

void ListenerBuilder::remember(const PortSet& former) {
  listener_ports_ |= former;
  owned_ports_ |= former;
}

bool ListenerBuilder::has_waiting() const {
  return std::any_of(listeners_.begin(), listeners_.end(),
                     [](const auto& entry) { return entry.second.accept_queue > 0; });
}

std::vector<std::uint16_t> ListenerBuilder::waiting_ports() const {
  std::vector<std::uint16_t> ports;
  for (const auto& [key, listener] : listeners_) {
    if (listener.accept_queue > 0 && (ports.empty() || ports.back() != key.first)) ports.push_back(key.first);
  }
  return ports;
}

void ListenerBuilder::expect_half_open() {
  half_open_expected_ = true;
  for (auto& [key, listener] : listeners_) listener.half_open = 0;
}

void ListenerBuilder::forget_rows() {
  owned_ports_ = listener_ports_;
  if (!half_open_expected_) return;
  for (auto& [key, listener] : listeners_) listener.half_open = 0;
}

ListenerSample* ListenerBuilder::owner_of(const SocketRow& row) {
  // The kernel's own order (inet_lookup_listener): the address itself, then the wildcard of its family, then "::".
  for (const Address& address : {row.local, row.local.is_v4() ? Address::v4(0) : Address(), Address()}) {
    if (const auto found = listeners_.find({row.local_port, address}); found != listeners_.end()) return &found->second;
  }
  return nullptr;
}

void ListenerBuilder::add_half_open(const SocketRow& row) {
  if (!half_open_expected_) return;
  if (row.state == TcpState::kListen) {
    const auto found = listeners_.find({row.local_port, row.local});
    if (found == listeners_.end() || !row.half_open) return;  // it has come since the listeners were listed
    found->second.half_open = found->second.half_open.value_or(0) + *row.half_open;
    return;
  }
  if (ListenerSample* listener = owner_of(row)) listener->half_open = listener->half_open.value_or(0) + 1;
}

void ListenerBuilder::add_waiting(const SocketRow& row) {
  if (row.inode != 0 || !row.last_data_sent_ms) return;
  if (row.state != TcpState::kEstablished && row.state != TcpState::kCloseWait) return;
  ListenerSample* listener = owner_of(row);
  if (listener == nullptr || listener->accept_queue == 0) return;
  waiting_[{listener->port, listener->address}][row.cookie] = *row.last_data_sent_ms;
}

std::vector<ListenerSample> ListenerBuilder::finish() const {
  std::vector<ListenerSample> result;
  result.reserve(listeners_.size());
  for (const auto& [key, listener] : listeners_) {
    result.push_back(listener);
    const auto waiting = waiting_.find(key);
    if (waiting == waiting_.end()) continue;
    std::vector<std::uint32_t> waits;
    for (const auto& [cookie, wait_ms] : waiting->second) waits.push_back(wait_ms);
    result.back().waits = distribution_of(std::move(waits));
  }
  return result;
}

std::uint32_t ListenerBuilder::listening_sockets_in(const PortSettings& settings) const {
  std::uint32_t sockets = 0;
  for (const auto& [key, listener] : listeners_) {
    if (key.first >= settings.lo && key.first <= settings.hi) sockets += listener.sockets;
  }
  return sockets;
}

CensusBuilder::CensusBuilder(const PortSettings& settings, ListenerBuilder& listeners)
    : plan_(settings, listeners.owned_ports()), listeners_(listeners) {}

void CensusBuilder::on_restart() {
  index_.clear();
  tuples_.clear();
  in_range_ = in_range_time_wait_ = 0;
  listeners_.forget_rows();
}

void CensusBuilder::on_row(const SocketRow& row) {
  if (is_bound_idle(row)) {
    listeners_.on_row(row);
    return;
  }
  if (row.state == TcpState::kListen) return listeners_.add_half_open(row);
  if (plan_.is_in_range(row.local_port)) {
    ++in_range_;
    if (row.is_mini_socket()) ++in_range_time_wait_;
  }
  if (listeners_.listener_ports().test(row.local_port)) {
    if (row.state == TcpState::kSynReceived || row.state == TcpState::kNewSynReceived) listeners_.add_half_open(row);
    if (row.last_data_sent_ms) listeners_.add_waiting(row);
    return;
  }
  if (row.remote_port == 0) return;  // being torn down: no destination any more
  const bool usable = plan_.is_usable(row.local_port);
  const bool outside = !plan_.is_in_range(row.local_port) || plan_.settings().reserved.test(row.local_port);
  if (!usable && !outside) return;  // on a locked port, which the capacity does not contain
  TupleSample& sample = index_.find_or_append({row.local, row.remote, row.remote_port}, tuples_);
  if (row.state == TcpState::kSynSent) {
    ++sample.counts.syn_sent;
    if (row.retransmits > 0) ++sample.counts.syn_retransmitted;
  }
  if (outside) {
    ++sample.counts.outside_range;
    return;
  }
  PortUse use{row.cookie, 0, row.local_port, PortHolder::kLive, false};
  if (row.is_mini_socket()) {
    use.remaining_ms = row.expires_ms;
    use.holder = row.state == TcpState::kTimeWait ? PortHolder::kTimeWait : PortHolder::kFinWait2;
    use.reusable = use.holder == PortHolder::kTimeWait && plan_.is_reusable(row.local, row.remote, row.expires_ms);
  }
  std::vector<PortUse>& held = sample.ports.edit();
  if (held.empty()) held.reserve(kUsualPorts);
  held.push_back(use);
}

void CensusBuilder::add_left_out(std::uint32_t in_range, std::uint32_t in_range_mini) {
  in_range_ += in_range;
  in_range_time_wait_ += in_range_mini;
}

void CensusBuilder::finish(Sample& sample) {
  const bool has_bound_idle = listeners_.owned_ports() != listeners_.listener_ports();
  if (has_bound_idle) plan_ = PortPlan(plan_.settings(), listeners_.owned_ports());
  PortSet seen;
  for (TupleSample& tuple : tuples_) {
    std::vector<PortUse>& held = tuple.ports.edit();
    if (has_bound_idle) std::erase_if(held, [&](const PortUse& use) { return !plan_.is_usable(use.port); });
    if (has_duplicate(held, seen)) {
      sample.cost.repeated += count_repeated(held);
      keep_one_per_port(held, seen);
    }
    add_ports(plan_, held, tuple.counts);
  }
  std::erase_if(tuples_,
                [](const TupleSample& tuple) { return tuple.ports.empty() && tuple.counts.outside_range == 0; });
  std::sort(tuples_.begin(), tuples_.end(),
            [](const TupleSample& left, const TupleSample& right) { return left.tuple < right.tuple; });
  sample.plan = plan_;
  sample.tuples = std::move(tuples_);
  sample.in_range = in_range_ + listeners_.listening_sockets_in(plan_.settings());
  sample.in_range_time_wait = in_range_time_wait_;
  tuples_.clear();
  index_.clear();
}

}  // namespace tidewaiter::telemetry
