// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "lab/network.h"
#include "telemetry/address.h"

namespace tidewaiter::lab {

struct TunAddress {
  telemetry::Address address;
  std::uint8_t prefix;
};

/// A tun device, tun0, that is up and has `addresses`: what the network sends to the rest of their prefixes is read
/// from the descriptor, an IP packet at a time, and what is written there comes in. It goes with the descriptor, which
/// does not block. Errors: kUnavailable, kNotFound without CONFIG_TUN; kNotPermitted without CAP_NET_ADMIN.
[[nodiscard]] base::Result<base::FileDescriptor> make_tun_device(const Network& network,
                                                                 const std::vector<TunAddress>& addresses);

}  // namespace tidewaiter::lab
