// SPDX-License-Identifier: Apache-2.0
#include "telemetry/address.h"

#include <arpa/inet.h>

namespace tidewaiter::telemetry {

bool Address::is_unspecified() const { return *this == Address() || *this == v4(0); }

bool Address::is_loopback() const {
  if (is_v4()) return bytes_[12] == 127;
  Bytes one{};
  one[15] = 1;
  return bytes_ == one;
}

std::string Address::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (is_v4()) {
    inet_ntop(AF_INET, bytes_.data() + 12, text.data(), text.size());
  } else {
    inet_ntop(AF_INET6, bytes_.data(), text.data(), text.size());
  }
  return text.data();
}

std::optional<Address> parse_address(const std::string& text) {
  in_addr four{};
  if (inet_pton(AF_INET, text.c_str(), &four) == 1) return Address::v4(ntohl(four.s_addr));
  Address::Bytes six{};
  if (inet_pton(AF_INET6, text.c_str(), six.data()) == 1) return Address::v6(six);
  return std::nullopt;
}

std::string endpoint_to_string(const Address& address, std::uint16_t port) {
  const std::string text = address.to_string();
  return (address.is_v4() ? text : "[" + text + "]") + ":" + std::to_string(port);
}

}  // namespace tidewaiter::telemetry
