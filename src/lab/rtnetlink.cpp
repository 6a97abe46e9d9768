// SPDX-License-Identifier: Apache-2.0
#include "lab/rtnetlink.h"

#include <cerrno>
#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <memory>
#include <net/if.h>
#include <span>
#include <sys/socket.h>

namespace tidewaiter::lab {
namespace {

struct MnlCloser {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

/// An IPv4 address without the prefix of its v4-mapped form.
std::span<const std::uint8_t> bare(const telemetry::Address& address) {
  return std::span(address.bytes()).subspan(address.is_v4() ? 12 : 0);
}

constexpr std::array<std::uint8_t, 3> kRouteTypes{RTN_UNREACHABLE, RTN_PROHIBIT, RTN_BLACKHOLE};  // by DeadRoute

}  // namespace

RouteRequest::RouteRequest(std::uint16_t type, std::uint16_t flags) : message_(mnl_nlmsg_put_header(buffer_.data())) {
  message_->nlmsg_type = type;
  message_->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
  message_->nlmsg_seq = 1;
}

base::Result<void> RouteRequest::send(const std::string& what) {
  const std::unique_ptr<mnl_socket, MnlCloser> netlink(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!netlink || mnl_socket_bind(netlink.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return base::fail_errno(errno, "open rtnetlink");
  }
  if (mnl_socket_sendto(netlink.get(), message_, message_->nlmsg_len) < 0) return base::fail_errno(errno, what);
  std::array<char, 4096> answer{};
  const ssize_t length = mnl_socket_recvfrom(netlink.get(), answer.data(), answer.size());
  if (length < 0 || mnl_cb_run(answer.data(), static_cast<std::size_t>(length), 1, mnl_socket_get_portid(netlink.get()),
                               nullptr, nullptr) < 0) {
    return base::fail_errno(errno, what);
  }
  return {};
}

base::Result<void> set_up_interface(const char* name, const telemetry::Address& address, std::uint8_t prefix) {
  const unsigned index = if_nametoindex(name);
  if (index == 0) return base::fail_errno(errno, fmt::format("find the interface {}", name));
  RouteRequest give(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  auto* const to = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(give.message(), sizeof(ifaddrmsg)));
  to->ifa_family = address.is_v4() ? AF_INET : AF_INET6;
  to->ifa_prefixlen = prefix;
  to->ifa_flags = IFA_F_NODAD;
  to->ifa_index = index;
  mnl_attr_put(give.message(), IFA_LOCAL, bare(address).size(), bare(address).data());
  mnl_attr_put(give.message(), IFA_ADDRESS, bare(address).size(), bare(address).data());
  if (auto given = give.send(fmt::format("give {} the address {}", name, address.to_string())); !given) return given;
  RouteRequest bring(RTM_NEWLINK, 0);
  auto* const up = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(bring.message(), sizeof(ifinfomsg)));
  up->ifi_index = static_cast<int>(index);
  up->ifi_flags = IFF_UP;
  up->ifi_change = IFF_UP;
  return bring.send(fmt::format("bring {} up", name));
}

base::Result<void> add_dead_route(const telemetry::Address& to, DeadRoute kind) {
  RouteRequest request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  auto* const route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request.message(), sizeof(rtmsg)));
  route->rtm_family = to.is_v4() ? AF_INET : AF_INET6;
  route->rtm_dst_len = static_cast<unsigned char>(8 * bare(to).size());
  route->rtm_table = RT_TABLE_MAIN;
  route->rtm_protocol = RTPROT_STATIC;
  route->rtm_scope = RT_SCOPE_UNIVERSE;
  route->rtm_type = kRouteTypes.at(static_cast<std::size_t>(kind));
  mnl_attr_put(request.message(), RTA_DST, bare(to).size(), bare(to).data());
  return request.send(fmt::format("add a route that lets nothing through to {}", to.to_string()));
}

}  // namespace tidewaiter::lab
