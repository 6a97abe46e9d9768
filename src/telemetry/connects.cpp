// SPDX-License-Identifier: Apache-2.0
#include "telemetry/connects.h"

#include <algorithm>

namespace tidewaiter::telemetry {
namespace {

std::uint64_t since(std::uint64_t later, std::uint64_t earlier) { return later >= earlier ? later - earlier : later; }

/// Calls visit(member) for each counter of totals.
template <class Visit>
void for_each_counter(const Visit& visit) {
  for (const auto member :
       {&ConnectTotals::attempts, &ConnectTotals::established, &ConnectTotals::port_probes, &ConnectTotals::collisions,
        &ConnectTotals::pre_syn_unattributed, &ConnectTotals::prohibited, &ConnectTotals::syn_retransmits,
        &ConnectTotals::retries, &ConnectTotals::inferred}) {
    visit(member);
  }
}

}  // namespace

std::string_view name(ConnectCause cause) {
  constexpr std::array<std::string_view, kConnectCauses> kNames = {
      "timeout", "addr_not_available", "addr_in_use", "refused", "reset", "unreachable",
      "denied",  "resources",          "aborted",     "other"};
  return kNames[static_cast<std::size_t>(cause)];
}

bool is_local(ConnectCause cause) {
  using enum ConnectCause;
  return cause == kAddrNotAvailable || cause == kAddrInUse || cause == kResources;
}

bool is_peers(ConnectCause cause) {
  using enum ConnectCause;
  return cause == kTimeout || cause == kRefused || cause == kReset || cause == kUnreachable;
}

std::uint64_t ConnectTotals::failed_local() const {
  std::uint64_t failed = 0;
  for (std::size_t i = 0; i < kConnectCauses; ++i) {
    if (is_local(static_cast<ConnectCause>(i))) failed += ended[i];
  }
  return failed;
}

std::uint64_t ConnectTotals::failed_peer() const {
  std::uint64_t failed = pre_syn_unattributed;
  for (std::size_t i = 0; i < kConnectCauses; ++i) {
    if (is_peers(static_cast<ConnectCause>(i))) failed += ended[i];
  }
  return failed;
}

ConnectTotals& ConnectTotals::operator+=(const ConnectTotals& other) {
  for_each_counter([&](auto member) { this->*member += other.*member; });
  for (std::size_t i = 0; i < kConnectCauses; ++i) ended[i] += other.ended[i];
  connect_time += other.connect_time;
  search_time += other.search_time;
  connect += other.connect;
  given_up += other.given_up;
  search += other.search;
  return *this;
}

ConnectTotals operator-(const ConnectTotals& later, const ConnectTotals& earlier) {
  if (later.attempts + later.port_probes < earlier.attempts + earlier.port_probes) return later;
  ConnectTotals difference;
  for_each_counter([&](auto member) { difference.*member = since(later.*member, earlier.*member); });
  for (std::size_t i = 0; i < kConnectCauses; ++i) difference.ended[i] = since(later.ended[i], earlier.ended[i]);
  difference.connect_time = later.connect_time - earlier.connect_time;
  difference.search_time = later.search_time - earlier.search_time;
  difference.connect = later.connect - earlier.connect;
  difference.given_up = later.given_up - earlier.given_up;
  difference.search = later.search - earlier.search;
  return difference;
}

const ConnectTotals* ConnectReading::find(const Tuple& tuple) const {
  const auto place = std::lower_bound(tuples.begin(), tuples.end(), tuple,
                                      [](const Entry& entry, const Tuple& key) { return entry.tuple < key; });
  return place != tuples.end() && place->tuple == tuple ? &place->totals : nullptr;
}

}  // namespace tidewaiter::telemetry
