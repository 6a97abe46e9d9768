// SPDX-License-Identifier: Apache-2.0
#include "serve/protocol.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <httplib.h>
#include <nlohmann/json.hpp>
#include <strings.h>

#include "serve/listen_address.h"

namespace tidewaiter::serve {
namespace {

constexpr std::array<std::string_view, 3> kDroppedHeaders{"range:", "accept-encoding:", "expect:"};

/// Reads from one text, writes to another.
class TextStream : public httplib::Stream {
 public:
  explicit TextStream(const std::string& input) : input_(input) {}

  [[nodiscard]] const std::string& output() const { return output_; }

  [[nodiscard]] bool is_readable() const override { return position_ < input_.size(); }
  [[nodiscard]] bool is_writable() const override { return true; }
  ssize_t read(char* data, size_t size) override {
    const std::size_t taken = input_.copy(data, size, position_);
    position_ += taken;
    return static_cast<ssize_t>(taken);
  }
  ssize_t write(const char* data, size_t size) override {
    output_.append(data, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  [[nodiscard]] socket_t socket() const override { return INVALID_SOCKET; }

 private:
  const std::string& input_;
  std::size_t position_ = 0;
  std::string output_;
};

/// A head whose lines all end as they should; nothing otherwise, which the grammar refuses.
std::string cleaned(const std::string& head) {
  std::string result;
  std::size_t begin = 0;
  while (begin < head.size()) {
    const std::size_t end = head.find('\n', begin);
    if (end == std::string::npos || end == begin || head[end - 1] != '\r') return {};
    const std::string_view line = std::string_view(head).substr(begin, end + 1 - begin);
    if (line.find('\0') != std::string_view::npos) return {};
    const bool is_dropped = std::any_of(kDroppedHeaders.begin(), kDroppedHeaders.end(), [&](std::string_view name) {
      return line.size() > name.size() && ::strncasecmp(line.data(), name.data(), name.size()) == 0;
    });
    if (!is_dropped) result += line;
    begin = end + 1;
  }
  return result;
}

bool has_body(const httplib::Request& request) {
  return request.has_header("Transfer-Encoding") ||
         (request.has_header("Content-Length") && request.get_header_value("Content-Length") != "0");
}

bool is_from_this_machine(const httplib::Request& request) {
  const std::size_t hosts = request.get_header_value_count("Host");
  if (hosts == 0) return request.version == "HTTP/1.0";
  return hosts == 1 && names_loopback(request.get_header_value("Host"));
}

Response refusal_without_route(int status) {
  if (status == 414) return error_response(status, "invalid_argument", "the path is too long", "");
  return error_response(status, "invalid_argument", "this is not a request of HTTP/1.1", "");
}

void write(const Response& response, httplib::Response& out) {
  out.status = response.status;
  if (response.etag.empty()) {
    out.set_header("Cache-Control", "no-store");
  } else {
    out.set_header("Cache-Control", "no-cache");
    out.set_header("ETag", '"' + response.etag + '"');
  }
  if (response.status != 304) out.set_content(response.body, response.content_type);
}

}  // namespace

Response error_response(int status, const std::string& code, const std::string& message, const std::string& hint) {
  const nlohmann::ordered_json document{{"error", {{"code", code}, {"message", message}, {"hint", hint}}}};
  return {
      status, "application/json", document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n", {}};
}

class Protocol::Grammar : public httplib::Server {
 public:
  using httplib::Server::process_request;

  explicit Grammar(std::vector<Route> routes) : routes_(std::move(routes)) {
    for (const Route& route : routes_) known_paths_ += (known_paths_.empty() ? "" : ", ") + route.path;
    set_default_headers(
        {{"Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
         {"X-Content-Type-Options", "nosniff"},
         {"Cross-Origin-Resource-Policy", "same-origin"},
         {"Referrer-Policy", "no-referrer"}});
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      write(respond(request, response), response);
      return HandlerResponse::Handled;
    });
    set_error_handler(Handler([](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty()) write(refusal_without_route(response.status), response);
    }));
  }

 private:
  [[nodiscard]] Response respond(const httplib::Request& request, httplib::Response& headers) const {
    if (!is_from_this_machine(request)) {
      return error_response(421, "not_permitted", "the Host header does not name this machine",
                            "use http://127.0.0.1 or http://localhost");
    }
    const auto route = std::find_if(routes_.begin(), routes_.end(),
                                    [&](const Route& candidate) { return candidate.path == request.path; });
    if (route == routes_.end()) {
      return error_response(404, "not_found", fmt::format("there is nothing at {}", request.path),
                            "known paths: " + known_paths_);
    }
    if (request.method != "GET" && request.method != "HEAD") {
      headers.set_header("Allow", "GET, HEAD");
      return error_response(405, "invalid_argument", fmt::format("{} does not take {}", request.path, request.method),
                            "use GET");
    }
    Response response = run(*route, request);
    if (!response.etag.empty() && request.get_header_value("If-None-Match").find(response.etag) != std::string::npos) {
      response.status = 304;
    }
    return response;
  }

  [[nodiscard]] static Response run(const Route& route, const httplib::Request& request) {
    try {
      return route.handler({request.path, {request.params.begin(), request.params.end()}});
    } catch (const std::exception& exception) {
      return error_response(500, "internal", fmt::format("{} failed: {}", route.path, exception.what()), "");
    } catch (...) {
      return error_response(500, "internal", fmt::format("{} failed", route.path), "");
    }
  }

  std::vector<Route> routes_;
  std::string known_paths_;
};

Protocol::Protocol(std::vector<Route> routes) : grammar_(std::make_unique<Grammar>(std::move(routes))) {}
Protocol::~Protocol() = default;

Protocol::Answer Protocol::answer(const std::string& head, bool is_last) const {
  std::string input = cleaned(head);
  if (input.empty()) input = "\r\n\r\n";
  TextStream stream(input);
  bool must_close = true;  // unless the head could be read
  bool client_closes = false;
  const bool written = grammar_->process_request(stream, is_last, client_closes, [&](httplib::Request& request) {
    must_close = is_last || has_body(request);
    if (!must_close) return;
    request.headers.erase("Connection");
    request.set_header("Connection", "close");
  });
  Answer result{stream.output(), 0, written && !must_close && !client_closes};
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  if (result.bytes.size() > kVersion.size()) result.status = std::atoi(result.bytes.c_str() + kVersion.size());
  return result;
}

Protocol::Answer Protocol::head_too_large() {
  const Response response = error_response(431, "invalid_argument", "the headers are too large", "");
  return {fmt::format("HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
                      "Connection: close\r\n\r\n{}",
                      response.content_type, response.body.size(), response.body),
          response.status, false};
}

}  // namespace tidewaiter::serve
