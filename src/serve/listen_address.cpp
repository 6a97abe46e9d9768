// SPDX-License-Identifier: Apache-2.0
#include "serve/listen_address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <fmt/format.h>
#include <netinet/in.h>
#include <optional>

namespace tidewaiter::serve {
namespace {

constexpr int kBacklog = 512;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  [[nodiscard]] bool is_loopback() const {
    if (storage.ss_family == AF_INET) {
      return ntohl(reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr.s_addr) >> 24U == 127;
    }
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr);
  }
};

std::optional<SocketAddress> to_socket_address(const std::string& address, std::uint16_t port) {
  SocketAddress result;
  auto* const four = reinterpret_cast<sockaddr_in*>(&result.storage);
  auto* const six = reinterpret_cast<sockaddr_in6*>(&result.storage);
  if (inet_pton(AF_INET, address.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    result.length = sizeof *four;
    return result;
  }
  if (inet_pton(AF_INET6, address.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    result.length = sizeof *six;
    return result;
  }
  return std::nullopt;
}

tl::unexpected<base::Error> fail_listen(int reason, const ListenAddress& address) {
  auto error = base::fail_errno(reason, "cannot listen on " + address.text()).value();
  if (reason == EADDRINUSE || reason == EADDRNOTAVAIL) error.code = base::ErrorCode::kUnavailable;
  error.hint = "choose another address with --listen, port 0 takes any that is free";
  return tl::unexpected(std::move(error));
}

}  // namespace

std::string ListenAddress::text() const {
  return address.find(':') == std::string::npos ? fmt::format("{}:{}", address, port)
                                                : fmt::format("[{}]:{}", address, port);
}

base::Result<ListenAddress> ListenAddress::parse(std::string_view text) {
  const auto refuse = [&] {
    return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("'{}' is not an address and a port", text),
                      "write 127.0.0.1:9650 or [::1]:9650; port 0 takes any that is free");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse();
  std::string_view host = text.substr(0, colon);
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  if (is_bracketed != (host.find(':') != std::string_view::npos)) return refuse();

  ListenAddress result;
  result.address = host;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, result.port);
  if (error != std::errc{} || rest != end || !to_socket_address(result.address, 0)) return refuse();
  return result;
}

base::Result<base::FileDescriptor> listen_on(const ListenAddress& address) {
  const auto at = to_socket_address(address.address, address.port);
  if (!at) {
    return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("'{}' is not an address", address.address),
                      "use 127.0.0.1 or ::1");
  }
  if (!at->is_loopback()) {
    return base::fail(base::ErrorCode::kNotPermitted,
                      fmt::format("will not listen on {}: that needs TLS and a token, which this version does not have",
                                  address.text()),
                      "use 127.0.0.1 or ::1");
  }
  base::FileDescriptor socket(::socket(at->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return fail_listen(errno, address);
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto* const where = reinterpret_cast<const sockaddr*>(&at->storage);
  if (::bind(socket.get(), where, at->length) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return fail_listen(errno, address);
  }
  return socket;
}

ListenAddress bound_address(const base::FileDescriptor& socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  ListenAddress result;
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &length) != 0) return result;
  std::array<char, INET6_ADDRSTRLEN> text{};
  const auto* const four = reinterpret_cast<const sockaddr_in*>(&storage);
  const auto* const six = reinterpret_cast<const sockaddr_in6*>(&storage);
  const bool is_four = storage.ss_family == AF_INET;
  const void* const bytes = is_four ? static_cast<const void*>(&four->sin_addr) : &six->sin6_addr;
  inet_ntop(storage.ss_family, bytes, text.data(), text.size());
  result.address = text.data();
  result.port = ntohs(is_four ? four->sin_port : six->sin6_port);
  return result;
}

bool names_loopback(std::string_view host) {
  const std::size_t bracket = host.rfind(']');
  const std::size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    const std::string_view port = host.substr(colon + 1);
    if (!std::all_of(port.begin(), port.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) return false;
    host = host.substr(0, colon);
  }
  std::string name(host);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name == "localhost") return true;
  const bool is_bracketed = name.size() > 2 && name.front() == '[' && name.back() == ']';
  const auto address = to_socket_address(is_bracketed ? name.substr(1, name.size() - 2) : name, 0);
  return address && address->is_loopback() && is_bracketed == (address->storage.ss_family == AF_INET6);
}

}  // namespace tidewaiter::serve
