// SPDX-License-Identifier: Apache-2.0
#include "lab/topology.h"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include "lab/rtnetlink.h"

namespace tidewaiter::lab {
namespace {

constexpr const char* kInterface = "lab0";
constexpr auto kClientAddress = telemetry::Address::v4(0x0ac70001);  // 10.199.0.1 and .2: nobody else is there
constexpr auto kServerAddress = telemetry::Address::v4(0x0ac70002);
constexpr std::uint8_t kPrefix = 30;

/// A veth pair: one end here, the other in the namespace of `peer`, both called lab0.
base::Result<void> make_veth_to(int peer) {
  RouteRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  nlmsghdr* const message = request.message();
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
  return request.send("make a veth pair");
}

base::Result<void> join(const Network& client, const Network& server) {
  if (auto made = client.run([&] { return make_veth_to(server.descriptor()); }); !made) return made;
  if (auto up = client.run([] { return set_up_interface(kInterface, kClientAddress, kPrefix); }); !up) return up;
  return server.run([] { return set_up_interface(kInterface, kServerAddress, kPrefix); });
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
    topology.client_address_ = kClientAddress;
    topology.server_address_ = kServerAddress;
    if (auto joined = join(*topology.client_, *topology.server_); !joined) return tl::unexpected(joined.error());
  }
  if (auto done = configure(*topology.client_, options); !done) return tl::unexpected(done.error());
  return topology;
}

}  // namespace tidewaiter::lab
