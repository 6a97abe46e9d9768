// SPDX-License-Identifier: Apache-2.0
#include "lab/topology.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace tidewaiter::lab {
namespace {

constexpr const char* kInterface = "lab0";
constexpr std::uint32_t kClientAddress = 0x0ac70001;  // 10.199.0.1 and .2, /30: nobody else is there
constexpr std::uint32_t kServerAddress = 0x0ac70002;
constexpr std::uint32_t kNetmask = 0xfffffffc;

struct MnlCloser {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

/// "Make a veth pair: one end here, the other in the namespace of `peer`", both called lab0.
void write_veth_request(nlmsghdr* message, int peer) {
  message->nlmsg_type = RTM_NEWLINK;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
  message->nlmsg_seq = 1;
  mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
  mnl_attr_put_strz(message, IFLA_IFNAME, kInterface);
  nlattr* const link = mnl_attr_nest_start(message, IFLA_LINKINFO);
  mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
  nlattr* const data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
  nlattr* const other_end = mnl_attr_nest_start(message, VETH_INFO_PEER);
  mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
  mnl_attr_put_strz(message, IFLA_IFNAME, kInterface);
  mnl_attr_put_u32(message, IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer));
  mnl_attr_nest_end(message, other_end);
  mnl_attr_nest_end(message, data);
  mnl_attr_nest_end(message, link);
}

base::Result<void> make_veth_to(int peer) {
  const std::unique_ptr<mnl_socket, MnlCloser> netlink(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!netlink || mnl_socket_bind(netlink.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return base::fail_errno(errno, "open rtnetlink");
  }
  alignas(nlmsghdr) std::array<char, 4096> buffer{};
  nlmsghdr* const message = mnl_nlmsg_put_header(buffer.data());
  write_veth_request(message, peer);
  if (mnl_socket_sendto(netlink.get(), message, message->nlmsg_len) < 0) {
    return base::fail_errno(errno, "ask for a veth pair");
  }
  const ssize_t length = mnl_socket_recvfrom(netlink.get(), buffer.data(), buffer.size());
  if (length < 0 || mnl_cb_run(buffer.data(), static_cast<std::size_t>(length), 1, mnl_socket_get_portid(netlink.get()),
                               nullptr, nullptr) < 0) {
    return base::fail_errno(errno, "make a veth pair");
  }
  return {};
}

sockaddr in_request(std::uint32_t address) {
  sockaddr_in internet{};
  internet.sin_family = AF_INET;
  internet.sin_addr.s_addr = htonl(address);
  sockaddr result{};
  std::memcpy(&result, &internet, sizeof result);
  return result;
}

base::Result<void> set_up_interface(std::uint32_t address) {
  const base::FileDescriptor control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, kInterface, IFNAMSIZ - 1);
  request.ifr_addr = in_request(address);
  if (ioctl(control.get(), SIOCSIFADDR, &request) != 0) return base::fail_errno(errno, "give lab0 an address");
  request.ifr_netmask = in_request(kNetmask);
  if (ioctl(control.get(), SIOCSIFNETMASK, &request) != 0) return base::fail_errno(errno, "give lab0 a netmask");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(control.get(), SIOCSIFFLAGS, &request) != 0) return base::fail_errno(errno, "bring lab0 up");
  return {};
}

base::Result<void> join(const Network& client, const Network& server) {
  if (auto made = client.run([&] { return make_veth_to(server.descriptor()); }); !made) return made;
  if (auto up = client.run([] { return set_up_interface(kClientAddress); }); !up) return up;
  return server.run([] { return set_up_interface(kServerAddress); });
}

base::Result<void> configure(const Network& client, const TopologyOptions& options) {
  std::vector<std::pair<std::string, std::string>> settings{
      {"net.ipv4.ip_local_port_range", fmt::format("{} {}", options.lo, options.hi)}, {"net.ipv4.tcp_tw_reuse", "0"}};
  settings.insert(settings.end(), options.settings.begin(), options.settings.end());
  for (const auto& [name, value] : settings) {
    if (auto done = client.set(name, value); !done) return done;
  }
  return {};
}

}  // namespace

base::Result<Topology> Topology::create(const TopologyOptions& options) {
  Topology topology;
  auto client = Network::create();
  if (!client) return tl::unexpected(client.error());
  topology.client_ = topology.server_ = std::make_shared<const Network>(std::move(*client));
  if (options.link == Link::kVeth) {
    auto server = Network::create();
    if (!server) return tl::unexpected(server.error());
    topology.server_ = std::make_shared<const Network>(std::move(*server));
    topology.client_address_ = telemetry::Address::v4(kClientAddress);
    topology.server_address_ = telemetry::Address::v4(kServerAddress);
    if (auto joined = join(*topology.client_, *topology.server_); !joined) return tl::unexpected(joined.error());
  }
  if (auto done = configure(*topology.client_, options); !done) return tl::unexpected(done.error());
  return topology;
}

}  // namespace tidewaiter::lab
