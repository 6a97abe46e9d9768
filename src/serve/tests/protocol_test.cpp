// SPDX-License-Identifier: Apache-2.0
#include "serve/protocol.h"

#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <stdexcept>

namespace tidewaiter::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ProtocolTest : public ::testing::Test {
 protected:
  static Route text(const std::string& path, const std::string& body, const std::string& etag = {}) {
    return {path, [=](const Request&) { return Response{200, "text/plain", body, etag}; }};
  }

  [[nodiscard]] Protocol::Answer ask(const std::string& line,
                                     const std::string& headers = "Host: localhost\r\n") const {
    return protocol_.answer(line + "\r\n" + headers + "\r\n", false);
  }

  Protocol protocol_{{text("/hello", "hello"),
                      text("/page", "page", "v1"),
                      {"/echo",
                       [](const Request& request) {
                         return Response{200, "text/plain", request.parameter("say"), {}};
                       }},
                      {"/broken", [](const Request&) -> Response { throw std::runtime_error("out of \"luck\""); }},
                      {"/odd", [](const Request&) -> Response { throw 1; }}}};
};

TEST_F(ProtocolTest, answers_get_with_the_routes_response_and_keeps_the_connection_open) {
  const auto answer = ask("GET /hello HTTP/1.1");
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.keep_open);
  EXPECT_THAT(answer.bytes, HasSubstr("\r\n\r\nhello"));
  EXPECT_THAT(answer.bytes, HasSubstr("Content-Type: text/plain\r\n"));
  EXPECT_THAT(answer.bytes, HasSubstr("Content-Length: 5\r\n"));
}

TEST_F(ProtocolTest, answers_head_with_the_length_and_no_body) {
  const auto answer = ask("HEAD /hello HTTP/1.1");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.bytes, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_TRUE(answer.bytes.ends_with("\r\n\r\n"));
}

TEST_F(ProtocolTest, decodes_query_parameters) {
  EXPECT_THAT(ask("GET /echo?say=a%20b%26c&x=1 HTTP/1.1").bytes, HasSubstr("\r\n\r\na b&c"));
}

TEST_F(ProtocolTest, names_the_known_paths_for_an_unknown_one) {
  const auto answer = ask("GET /nothing HTTP/1.1");
  EXPECT_EQ(answer.status, 404);
  EXPECT_THAT(answer.bytes, HasSubstr(R"({"error":{"code":"not_found","message":"there is nothing at /nothing",)"));
  EXPECT_THAT(answer.bytes, HasSubstr("/hello, /page"));
  EXPECT_THAT(answer.bytes, HasSubstr("Content-Type: application/json\r\n"));
}

TEST_F(ProtocolTest, escapes_what_it_repeats) {
  EXPECT_THAT(ask("GET /%22%5c%ff HTTP/1.1").bytes, HasSubstr(R"(nothing at /\"\\)"));
}

TEST_F(ProtocolTest, refuses_other_methods_and_says_which_are_allowed) {
  for (const std::string method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"}) {
    const auto answer = ask(method + " /hello HTTP/1.1");
    EXPECT_EQ(answer.status, 405) << method;
    EXPECT_THAT(answer.bytes, HasSubstr("Allow: GET, HEAD\r\n"));
    EXPECT_THAT(answer.bytes, HasSubstr("\"code\":\"invalid_argument\""));
  }
}

TEST_F(ProtocolTest, ends_the_connection_after_a_request_with_a_body_because_it_is_not_read) {
  for (const std::string header : {"Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"}) {
    for (const std::string method : {"GET", "POST"}) {
      const auto answer = ask(method + " /hello HTTP/1.1", "Host: localhost\r\nConnection: keep-alive\r\n" + header);
      EXPECT_FALSE(answer.keep_open) << method << header;
      EXPECT_THAT(answer.bytes, HasSubstr("Connection: close\r\n"));
    }
  }
  EXPECT_TRUE(ask("GET /hello HTTP/1.1", "Host: localhost\r\nContent-Length: 0\r\n").keep_open);
}

TEST_F(ProtocolTest, ends_the_connection_when_the_client_or_the_server_says_so) {
  EXPECT_FALSE(ask("GET /hello HTTP/1.1", "Host: localhost\r\nConnection: close\r\n").keep_open);
  EXPECT_FALSE(ask("GET /hello HTTP/1.0").keep_open);
  const auto last = protocol_.answer("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", true);
  EXPECT_FALSE(last.keep_open);
  EXPECT_THAT(last.bytes, HasSubstr("Connection: close\r\n"));
}

TEST_F(ProtocolTest, turns_what_a_handler_throws_into_an_error_500) {
  const auto answer = ask("GET /broken HTTP/1.1");
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.bytes, HasSubstr(R"("message":"/broken failed: out of \"luck\"")"));
  EXPECT_EQ(ask("GET /odd HTTP/1.1").status, 500);
}

TEST_F(ProtocolTest, tells_a_client_that_it_has_the_content_already) {
  EXPECT_THAT(ask("GET /page HTTP/1.1").bytes, HasSubstr("ETag: \"v1\"\r\n"));
  const auto again = ask("GET /page HTTP/1.1", "Host: localhost\r\nIf-None-Match: \"v1\"\r\n");
  EXPECT_EQ(again.status, 304);
  EXPECT_THAT(again.bytes, Not(HasSubstr("page")));
  EXPECT_EQ(ask("GET /page HTTP/1.1", "Host: localhost\r\nIf-None-Match: \"v0\"\r\n").status, 200);
  EXPECT_THAT(ask("GET /hello HTTP/1.1").bytes, HasSubstr("Cache-Control: no-store\r\n"));
}

TEST_F(ProtocolTest, sends_the_security_headers_with_every_answer_and_never_one_of_cors) {
  for (const std::string line : {"GET /hello HTTP/1.1", "GET /nothing HTTP/1.1", "nonsense"}) {
    const auto answer = ask(line, "Host: localhost\r\nOrigin: http://evil.example\r\n");
    EXPECT_THAT(answer.bytes, HasSubstr("Content-Security-Policy: default-src 'self'")) << line;
    EXPECT_THAT(answer.bytes, HasSubstr("X-Content-Type-Options: nosniff\r\n")) << line;
    EXPECT_THAT(answer.bytes, Not(HasSubstr("Access-Control"))) << line;
  }
}

TEST_F(ProtocolTest, answers_only_those_who_name_this_machine) {
  for (const std::string host : {"localhost", "LocalHost:9650", "127.0.0.1:80", "127.8.8.8", "[::1]", "[::1]:9650"}) {
    EXPECT_EQ(ask("GET /hello HTTP/1.1", "Host: " + host + "\r\n").status, 200) << host;
  }
  for (const std::string host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "",
                                 "::1", "[::2]", "localhost:9650:1", "localhost@evil", "[127.0.0.1]"}) {
    EXPECT_EQ(ask("GET /hello HTTP/1.1", "Host: " + host + "\r\n").status, 421) << host;
  }
  EXPECT_EQ(ask("GET /hello HTTP/1.1", "").status, 421);
  EXPECT_EQ(ask("GET /hello HTTP/1.1", "Host: localhost\r\nHost: evil.example\r\n").status, 421);
  EXPECT_EQ(ask("GET /hello HTTP/1.0", "").status, 200);
}

TEST_F(ProtocolTest, refuses_what_is_not_http_and_ends_the_connection) {
  using namespace std::string_literals;
  for (const std::string& head :
       {"\r\n\r\n"s, "GET\r\n\r\n"s, "GET /hello HTTP/3.0\r\nHost: localhost\r\n\r\n"s,
        "GET /hello HTTP/1.1\nHost: localhost\n\r\n\r\n"s, "GET /hel\0lo HTTP/1.1\r\nHost: localhost\r\n\r\n"s,
        "\x16\x03\x01\x02 tls\r\n\r\n"s, "FETCH /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"s}) {
    const auto answer = protocol_.answer(head, false);
    EXPECT_EQ(answer.status, 400) << head;
    EXPECT_FALSE(answer.keep_open) << head;
    EXPECT_THAT(answer.bytes, HasSubstr("{\"error\":{")) << head;
  }
}

TEST_F(ProtocolTest, refuses_a_path_that_is_too_long) {
  const auto answer = ask("GET /" + std::string(9000, 'a') + " HTTP/1.1");
  EXPECT_EQ(answer.status, 414);
  EXPECT_FALSE(answer.keep_open);
}

/// Runs `work` on a thread whose stack has 256 KiB.
void run_on_small_stack(std::function<void()> work) {
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256U << 10U);
  const auto run = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  pthread_t thread{};
  ASSERT_EQ(pthread_create(&thread, &small, run, &work), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&small);
}

// The library's parser of Range recurses once a character; its compression would cost more than it saves.
TEST_F(ProtocolTest, ignores_ranges_and_compression_even_on_a_small_stack) {
  std::string headers = "Host: localhost\r\nAccept-Encoding: gzip, br\r\nrAnGe: bytes=0-1";
  while (headers.size() < 7000) headers += ",0-1";
  Protocol::Answer answer;
  run_on_small_stack([&] { answer = ask("GET /hello HTTP/1.1", headers + "\r\n"); });
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.bytes, HasSubstr("\r\n\r\nhello"));
}

TEST_F(ProtocolTest, a_header_line_ended_by_a_bare_line_feed_hides_nothing) {
  EXPECT_EQ(ask("GET /hello HTTP/1.1", "Host: localhost\r\nX: a\nRange: bytes=0-1\r\n").status, 400);
}

}  // namespace
}  // namespace tidewaiter::serve
