// SPDX-License-Identifier: Apache-2.0
#include "cli/agent_client.h"

#include <fmt/format.h>
#include <utility>

#include "agent/state_directory.h"
#include "serve/http_client.h"

namespace tidewaiter::cli {

base::Result<std::string> agent_url(const std::string& url, const std::string& state_directory) {
  std::string base = url;
  if (base.empty()) {
    const bool is_given = !state_directory.empty();
    const auto address = agent::read_address(is_given ? state_directory : agent::default_state_directory());
    if (!address && is_given) return tl::unexpected(address.error());
    base = "http://" + address.value_or("127.0.0.1:9650");
  }
  while (base.ends_with('/')) base.pop_back();
  return base;
}

base::Result<output::Document> get_status(const std::string& given_url, const std::string& state_directory,
                                          base::Nanoseconds timeout) {
  const auto found = agent_url(given_url, state_directory);
  if (!found) return tl::unexpected(found.error());
  const std::string& url = *found;
  auto reply = serve::HttpClient::get(url + "/api/v1/status", timeout);
  if (!reply) {
    if (reply.error().code == base::ErrorCode::kInvalidArgument) return tl::unexpected(reply.error());
    return base::fail(base::ErrorCode::kUnavailable, fmt::format("no agent answers at {}", url),
                      "start one with `tidewaiter run`, or name it with --url or --state-dir");
  }
  auto document = output::Document::parse(reply->body, nullptr, false);
  if (reply->status == 503) {
    return base::fail(base::ErrorCode::kUnavailable, fmt::format("the agent at {} has no window yet", url),
                      "ask again in a second");
  }
  if (document.is_discarded() || !document.is_object() || document.value("schema", "") != "tidewaiter.status/1") {
    return base::fail(base::ErrorCode::kMalformed, fmt::format("what answers at {} is no agent of this version", url),
                      "name the agent with --url");
  }
  return document;
}

}  // namespace tidewaiter::cli
