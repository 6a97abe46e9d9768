// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "lab/network.h"
#include "telemetry/address.h"

namespace tidewaiter::lab {

enum class Link : std::uint8_t {
  kLoopback,  ///< client and server in one namespace
  kVeth,      ///< in two, joined by a veth pair
};

struct TopologyOptions {
  Link link = Link::kLoopback;
  std::uint16_t lo = 40'000;  ///< ip_local_port_range of the client
  std::uint16_t hi = 41'999;
  std::vector<std::pair<std::string, std::string>> settings;  ///< further ones of the client: sysctl name, value
};

/// The place of an experiment: a client and a server, and nobody else. `tcp_tw_reuse` is off, so that loopback behaves
/// like a network. Nothing of it is in the namespace of the host at any moment: a veth pair is made inside.
class Topology {
 public:
  /// Errors: as Network::create(); kUnavailable without veth.
  [[nodiscard]] static base::Result<Topology> create(const TopologyOptions& options = {});

  [[nodiscard]] const Network& client() const { return *client_; }
  [[nodiscard]] const Network& server() const { return *server_; }
  [[nodiscard]] telemetry::Address client_address() const { return client_address_; }
  [[nodiscard]] telemetry::Address server_address() const { return server_address_; }

 private:
  Topology() = default;
  std::shared_ptr<const Network> client_;
  std::shared_ptr<const Network> server_;
  telemetry::Address client_address_ = telemetry::Address::v4(0x7f000001);
  telemetry::Address server_address_ = telemetry::Address::v4(0x7f000001);
};

}  // namespace tidewaiter::lab
