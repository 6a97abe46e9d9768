// SPDX-License-Identifier: Apache-2.0
#include "serve/http_client.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fmt/format.h>
#include <httplib.h>

#include "base/stopwatch.h"

namespace tidewaiter::serve {
namespace {

constexpr std::size_t kMaxBody = std::size_t{64} << 20U;

struct Url {
  std::string origin;
  std::string target;
};

bool is_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && rest == text.data() + text.size() && port != 0;
}

base::Result<Url> parse(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  const auto refuse = [&] {
    return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("'{}' is not a URL that can be asked", url),
                      "write http://HOST:PORT");
  };
  if (url.compare(0, kScheme.size(), kScheme) != 0) return refuse();
  const bool is_printable = std::all_of(url.begin(), url.end(), [](unsigned char c) { return std::isgraph(c) != 0; });
  const std::size_t slash = std::min(url.find_first_of("/?", kScheme.size()), url.size());
  if (!is_printable || slash == kScheme.size()) return refuse();
  const std::string_view authority = std::string_view(url).substr(kScheme.size(), slash - kScheme.size());
  const std::size_t colon =
      authority.find(':', authority.find(']') == std::string_view::npos ? 0 : authority.find(']'));
  if (colon != std::string_view::npos && !is_port(authority.substr(colon + 1))) return refuse();
  std::string target = url.substr(slash);
  if (target.empty() || target.front() == '?') target.insert(0, "/");
  return Url{url.substr(0, slash), std::move(target)};
}

}  // namespace

base::Result<HttpClient::Reply> HttpClient::get(const std::string& url, base::Nanoseconds timeout) {
  const auto parsed = parse(url);
  if (!parsed) return tl::unexpected(parsed.error());
  httplib::Client client(parsed->origin);
  if (!client.is_valid()) {
    return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("'{}' is not a URL that can be asked", url),
                      "write http://HOST:PORT");
  }
  const auto limit = std::chrono::ceil<base::Microseconds>(timeout);
  client.set_connection_timeout(limit);
  client.set_read_timeout(limit);
  client.set_write_timeout(limit);

  const base::Stopwatch stopwatch;
  Reply reply;
  const auto result = client.Get(
      parsed->target,
      [&](const httplib::Response& response) {
        reply.status = response.status;
        return stopwatch.elapsed() < timeout;
      },
      [&](const char* data, std::size_t size) {
        reply.body.append(data, size);
        return reply.body.size() <= kMaxBody && stopwatch.elapsed() < timeout;
      });
  if (result) return reply;
  const bool is_late = stopwatch.elapsed() >= timeout;
  return base::fail(base::ErrorCode::kUnavailable,
                    fmt::format("{}: {}", parsed->origin,
                                is_late ? "no answer within " + base::humane_duration(timeout)
                                        : "the connection failed: " + httplib::to_string(result.error())));
}

}  // namespace tidewaiter::serve
