// SPDX-License-Identifier: Apache-2.0
#include "lab/outcomes.h"

#include <cerrno>
#include <csignal>
#include <netinet/tcp.h>

namespace tidewaiter::lab {
namespace {

using base::Milliseconds;
using telemetry::Address;

constexpr std::uint32_t kCount = 20;
constexpr std::uint16_t kFirstPort = 20'000;
constexpr std::uint16_t kOtherPort = 30'000;  // out of the client's range
constexpr Address kLoopback = Address::v4(0x7f000001);
constexpr Address kLoopbackIpv6 = Address::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
constexpr std::uint32_t kDeadNetwork = 0x0ac50001;  // 10.197.0.1 and on, by DeadRoute
constexpr Address kLost = Address::v4(0x0ac40001);  // 10.196.0.1

Outcome outcome(std::string name, Site site, Work work, int error, Tally agent) {
  Outcome result;
  result.name = std::move(name);
  result.site = site;
  result.work = std::move(work);
  result.client = {{error, kCount}};
  result.agent = std::move(agent);
  return result;
}

Outcome answered(Outcome outcome, Answer answer) {
  outcome.answer = answer;
  return outcome;
}

Outcome in_group(Outcome outcome, Group group) {
  outcome.group = group;
  return outcome;
}

Outcome dead(std::string name, DeadRoute route, int error) {
  Outcome result =
      outcome(std::move(name), Site::kDead, connect_in_turn, error, {{"attempts", kCount}, {"pre_syn", kCount}});
  result.route = route;
  return result;
}

Tally established() { return {{"attempts", kCount}, {"established", kCount}}; }

/// One after the other by one process: each but the first answers the failure before it.
Tally failed(const char* cause) { return {{"attempts", kCount}, {cause, kCount}, {"retries", kCount - 1}}; }

/// All at once: none answers a failure.
Tally failed_together(const char* cause) { return {{"attempts", kCount}, {cause, kCount}}; }

void add_established(std::vector<Outcome>& all) {
  all.push_back(outcome("established, blocking", Site::kEcho, connect_in_turn, 0, established()));
  all.push_back(outcome("established, non-blocking", Site::kEcho, connect_in_turn_without_blocking, 0, established()));
  all.push_back(answered(outcome("established, over a network", Site::kPeer, connect_in_turn, 0, established()),
                         Answer::kAccept));
  all.push_back(outcome("established, io_uring", Site::kEcho, connect_in_turn_by_io_uring, 0, established()));
  all.push_back(outcome("established, IPv6", Site::kEchoIpv6, connect_in_turn, 0, established()));
  all.push_back(
      outcome("established, IPv4 and v4-mapped in one tuple", Site::kEcho, connect_in_both_families, 0, established()));
  all.push_back(outcome("established, MPTCP", Site::kEchoMptcp, connect_in_turn_by_mptcp, 0, established()));
  all.push_back(
      outcome("established, MPTCP to a server without it", Site::kEcho, connect_in_turn_by_mptcp, 0, established()));
  all.push_back(outcome("established, fast open with data", Site::kEchoFastOpen, send_by_fast_open, 0, established()));
  all.push_back(outcome("established, fast open at the first write", Site::kEchoFastOpen, write_after_fast_open_connect,
                        0, established()));
  all.push_back(in_group(outcome("established, from another cgroup", Site::kEcho, connect_in_turn, 0, established()),
                         Group::kOther));
  all.push_back(outcome("established, and the listener closes with pending children", Site::kClosed,
                        close_listener_with_pending_children, 0, established()));
}

void add_refused(std::vector<Outcome>& all) {
  all.push_back(outcome("refused, blocking", Site::kClosed, connect_in_turn, ECONNREFUSED, failed("refused")));
  all.push_back(answered(outcome("refused, non-blocking, over a network", Site::kPeer, connect_in_turn_without_blocking,
                                 ECONNREFUSED, failed("refused")),
                         Answer::kRefuse));
  all.push_back(outcome("refused, one socket again and again", Site::kClosed, connect_one_socket, ECONNREFUSED,
                        failed("refused")));
  all.push_back(
      outcome("refused, io_uring", Site::kClosed, connect_in_turn_by_io_uring, ECONNREFUSED, failed("refused")));
  all.push_back(outcome("refused, MPTCP", Site::kClosed, connect_in_turn_by_mptcp, ECONNREFUSED, failed("refused")));
  all.push_back(answered(outcome("refused, IPv6", Site::kPeerIpv6, connect_in_turn, ECONNREFUSED, failed("refused")),
                         Answer::kRefuse));
  all.push_back(answered(
      outcome("refused, by ICMP (port unreachable)", Site::kPeer, connect_in_turn, ECONNREFUSED, failed("refused")),
      Answer::kPortUnreachable));
  all.push_back(
      answered(outcome("reset during the handshake", Site::kPeer, connect_in_turn, ECONNRESET, failed("reset")),
               Answer::kCrossAndReset));
}

void add_unreachable(std::vector<Outcome>& all) {
  const auto by_icmp = [&all](std::string name, Site site, Answer answer, int error) {
    all.push_back(answered(outcome(std::move(name), site, connect_in_turn, error, failed("unreachable")), answer));
  };
  by_icmp("host unreachable, by ICMP", Site::kPeer, Answer::kHostUnreachable, EHOSTUNREACH);
  by_icmp("network unreachable, by ICMP", Site::kPeer, Answer::kNetworkUnreachable, ENETUNREACH);
  by_icmp("prohibited, by ICMP", Site::kPeer, Answer::kProhibited, EHOSTUNREACH);
  by_icmp("host unreachable, by ICMPv6", Site::kPeerIpv6, Answer::kHostUnreachable, EHOSTUNREACH);
  by_icmp("no route, by ICMPv6", Site::kPeerIpv6, Answer::kNetworkUnreachable, ENETUNREACH);
  by_icmp("prohibited, by ICMPv6", Site::kPeerIpv6, Answer::kProhibited, EACCES);
  all.push_back(
      answered(outcome("protocol unreachable, by ICMP", Site::kPeer, connect_in_turn, ENOPROTOOPT, failed("other")),
               Answer::kProtocolUnreachable));
  all.push_back(
      outcome("no route", Site::kLost, connect_in_turn, ENETUNREACH, {{"attempts", kCount}, {"pre_syn", kCount}}));
  all.push_back(dead("unreachable by route", DeadRoute::kUnreachable, EHOSTUNREACH));
  all.push_back(dead("prohibited by route", DeadRoute::kProhibited, EACCES));
  all.push_back(dead("blackholed by route", DeadRoute::kBlackhole, EINVAL));
}

void add_timed_out(std::vector<Outcome>& all) {
  all.push_back(outcome("timed out, by TCP_USER_TIMEOUT", Site::kPeer, connect_together(TCP_USER_TIMEOUT, 1'500),
                        ETIMEDOUT, failed_together("timeout")));
  all.push_back(outcome("timed out, by TCP_SYNCNT", Site::kPeer, connect_together(TCP_SYNCNT, 1), ETIMEDOUT,
                        failed_together("timeout")));
  all.push_back(outcome("timed out, IPv6", Site::kPeerIpv6, connect_together(TCP_USER_TIMEOUT, 1'500), ETIMEDOUT,
                        failed_together("timeout")));
  all.push_back(outcome("given up after 1.3 s", Site::kPeer, give_up_after(Milliseconds(1'300)), EINPROGRESS,
                        failed_together("timeout")));
  all.push_back(in_group(outcome("given up after a retransmit, before 1 s", Site::kPeer,
                                 give_up_after(Milliseconds(550)), EINPROGRESS, failed_together("timeout")),
                         Group::kHasty));
  all.push_back(in_group(outcome("given up after 1.2 s, without a retransmit", Site::kPeer,
                                 give_up_after(Milliseconds(1'200)), EINPROGRESS, failed_together("timeout")),
                         Group::kPatient));
}

void add_given_up(std::vector<Outcome>& all) {
  all.push_back(outcome("given up after 100 ms", Site::kPeer, give_up_after(Milliseconds(100)), EINPROGRESS,
                        failed_together("aborted")));
  all.push_back(outcome("given up at once, by connect() to AF_UNSPEC", Site::kPeer, disconnect_at_once, EINPROGRESS,
                        failed_together("aborted")));
  all.push_back(outcome("killed in SYN_SENT", Site::kPeer, die_in_syn_sent, EINPROGRESS, failed_together("aborted")));
  all.back().exit = {0, SIGKILL};
  all.push_back(outcome("fast open, closed before its first write", Site::kEchoFastOpen, close_after_fast_open_connect,
                        0, failed_together("aborted")));
}

void add_ports(std::vector<Outcome>& all, const OutcomeRange& range) {
  const std::uint64_t ports = range.hi - range.lo + 1U;
  for (const auto& [name, site] : {std::pair("no port left", Site::kEcho), {"no port left, IPv6", Site::kEchoIpv6}}) {
    all.push_back(outcome(name, site, exhaust_ports, EADDRNOTAVAIL,
                          {{"attempts", ports + kCount},
                           {"established", ports},
                           {"addr_not_available", kCount},
                           {"retries", kCount - 1}}));
    all.back().client[0] = ports;
  }
  all.push_back(
      outcome("a bound port that is taken", Site::kEcho, collide, EADDRNOTAVAIL,
              {{"attempts", kCount + 1}, {"established", 1}, {"addr_not_available", kCount}, {"retries", kCount - 1}}));
  all.back().client[0] = 1;
  all.push_back(outcome("probes of one taken port", Site::kEcho, probe_taken_port, EADDRNOTAVAIL,
                        {{"attempts", 1}, {"established", 1}, {"port_probes", kCount}}));
  all.back().client[0] = 1;
  all.push_back(outcome("probes of a taken and then of a free port", Site::kEcho, probe_taken_then_free_port,
                        EADDRNOTAVAIL,
                        {{"attempts", kCount + 1}, {"established", kCount + 1}, {"port_probes", kCount}}));
  all.back().client[0] = kCount + 1;
}

void add_not_ours(std::vector<Outcome>& all) {
  all.push_back(in_group(outcome("denied by a cgroup's program", Site::kClosed, connect_in_turn, EPERM,
                                 {{"attempts", kCount}, {"denied", kCount}}),
                         Group::kDenied));
  all.push_back(outcome("UDP", Site::kClosed, connect_udp_sockets, 0, {}));
  all.push_back(outcome("established in another network", Site::kElsewhere, connect_in_turn, 0, {}));
}

Address address_of(const Outcome& outcome) {
  switch (outcome.site) {
    case Site::kEchoIpv6:
      return kLoopbackIpv6;
    case Site::kPeer:
      return ScriptedPeer::kHost;
    case Site::kPeerIpv6:
      return ScriptedPeer::kHostIpv6;
    case Site::kDead:
      return Address::v4(kDeadNetwork + static_cast<std::uint32_t>(outcome.route));
    case Site::kLost:
      return kLost;
    default:
      return kLoopback;
  }
}

}  // namespace

Address Outcome::source() const {
  if (agent.contains("pre_syn") || agent.contains("denied")) return {};
  if (site == Site::kPeer) return ScriptedPeer::kOwn;
  return site == Site::kPeerIpv6 ? ScriptedPeer::kOwnIpv6 : address_of(*this);
}

std::vector<Outcome> all_outcomes(const OutcomeRange& range) {
  std::vector<Outcome> all;
  add_established(all);
  add_refused(all);
  add_unreachable(all);
  add_timed_out(all);
  add_given_up(all);
  add_ports(all, range);
  add_not_ours(all);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto port = static_cast<std::uint16_t>(kFirstPort + i);
    all[i].task = {{address_of(all[i]), port}, kCount, range.hi, kOtherPort};
  }
  return all;
}

ScriptedPeer::Script script_of(const std::vector<Outcome>& outcomes) {
  ScriptedPeer::Script script;
  for (const Outcome& outcome : outcomes) {
    if (outcome.site == Site::kPeer || outcome.site == Site::kPeerIpv6) script[outcome.task.to.port] = outcome.answer;
  }
  return script;
}

}  // namespace tidewaiter::lab
