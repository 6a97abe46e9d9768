// SPDX-License-Identifier: Apache-2.0
#include "serve/http_server.h"

#include <arpa/inet.h>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>

#include "serve/http_client.h"

namespace tidewaiter::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kHost = "Host: localhost\r\n";

base::FileDescriptor connect_to(std::uint16_t port, int receive_buffer = 0) {
  base::FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (receive_buffer > 0) setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  return socket;
}

void send_text(const base::FileDescriptor& socket, const std::string& text) {
  ASSERT_EQ(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

/// What arrives until the server closes, `enough` bytes are there, or 5 s have passed without any.
std::string receive(const base::FileDescriptor& socket, std::size_t enough = SIZE_MAX) {
  std::string text;
  while (text.size() < enough) {
    pollfd wait{socket.get(), POLLIN, 0};
    char buffer[4096];
    if (::poll(&wait, 1, 5000) != 1) return text + "<nothing for 5 s>";
    const ssize_t size = ::recv(socket.get(), buffer, sizeof buffer, 0);
    if (size < 0) return text + "<reset>";
    if (size == 0) break;
    text.append(buffer, static_cast<std::size_t>(size));
  }
  return text;
}

class HttpServerTest : public ::testing::Test {
 protected:
  void start(const Patience& patience = {}) {
    const auto bound = server_.start({"127.0.0.1", 0}, patience);
    ASSERT_TRUE(bound) << bound.error().message();
    port_ = bound->port;
    url_ = "http://" + bound->text();
  }

  static std::vector<Route> routes(HttpServerTest* test) {
    return {{"/healthz",
             [](const Request&) {
               return Response{200, "text/plain", "ok\n", {}};
             }},
            {"/big",
             [](const Request&) {
               return Response{200, "text/plain", std::string(8U << 20U, 'x'), {}};
             }},
            {"/wait", [test](const Request&) {
               test->inside_.count_down();
               test->leave_.get_future().wait();
               return Response{};
             }}};
  }

  std::latch inside_{1};
  std::promise<void> leave_;
  HttpServer server_{routes(this)};
  std::uint16_t port_ = 0;
  std::string url_;
};

TEST_F(HttpServerTest, answers_on_the_port_that_it_says) {
  start();
  ASSERT_NE(port_, 0);
  const auto reply = HttpClient::get(url_ + "/healthz", base::Seconds(5));
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body, "ok\n");
}

TEST_F(HttpServerTest, answers_on_ipv6_loopback) {
  const auto bound = server_.start({"::1", 0});
  if (!bound) GTEST_SKIP() << "no IPv6 loopback here: " << bound.error().message();
  const auto reply = HttpClient::get("http://" + bound->text() + "/healthz", base::Seconds(5));
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->status, 200);
}

TEST_F(HttpServerTest, sends_large_answers_whole) {
  start();
  const auto reply = HttpClient::get(url_ + "/big", base::Seconds(20));
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->body.size(), 8U << 20U);
}

TEST_F(HttpServerTest, a_second_server_on_the_same_address_is_refused_with_the_address_and_the_fix) {
  start();
  HttpServer second({});
  const auto bound = second.start({"127.0.0.1", port_});
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, base::ErrorCode::kUnavailable);
  EXPECT_THAT(bound.error().message(), HasSubstr("127.0.0.1:" + std::to_string(port_)));
  EXPECT_THAT(bound.error().hint, HasSubstr("--listen"));
}

TEST_F(HttpServerTest, listens_beyond_loopback_for_nobody) {
  for (const std::string address : {"0.0.0.0", "::", "192.0.2.1", "::ffff:127.0.0.1"}) {
    const auto bound = server_.start({address, 0});
    ASSERT_FALSE(bound) << address;
    EXPECT_EQ(bound.error().code, base::ErrorCode::kNotPermitted);
    EXPECT_THAT(bound.error().message(), HasSubstr("needs TLS and a token"));
    EXPECT_THAT(bound.error().hint, HasSubstr("127.0.0.1 or ::1"));
  }
}

TEST_F(HttpServerTest, serves_many_requests_on_one_connection_also_when_they_come_at_once) {
  start();
  const auto socket = connect_to(port_);
  const std::string request = "GET /healthz HTTP/1.1\r\n" + kHost;
  send_text(socket, request + "\r\n" + request + "\r\n" + request + "Connection: close\r\n\r\n");
  const std::string answers = receive(socket);
  std::size_t count = 0;
  for (std::size_t at = answers.find("\r\n\r\nok\n"); at != std::string::npos;
       at = answers.find("\r\n\r\nok\n", at + 1))
    ++count;
  EXPECT_EQ(count, 3U) << answers;
  EXPECT_EQ(server_.counters().requests, 3U);
  EXPECT_EQ(server_.counters().connections, 1U);
}

TEST_F(HttpServerTest, answers_a_client_that_has_ended_its_own_direction) {
  start();
  const auto socket = connect_to(port_);
  send_text(socket, "GET /healthz HTTP/1.1\r\n" + kHost + "\r\n");
  ::shutdown(socket.get(), SHUT_WR);
  EXPECT_THAT(receive(socket), HasSubstr("ok\n"));
}

TEST_F(HttpServerTest, takes_a_head_byte_by_byte) {
  start();
  const auto socket = connect_to(port_);
  for (const char byte : "GET /healthz HTTP/1.1\r\n" + kHost + "Connection: close\r\n\r\n") send_text(socket, {byte});
  EXPECT_THAT(receive(socket), HasSubstr("ok\n"));
}

TEST_F(HttpServerTest, a_refusal_arrives_although_the_body_was_not_read) {
  start();
  const auto socket = connect_to(port_);
  const std::string body(40'000, 'x');
  send_text(socket, "POST /healthz HTTP/1.1\r\n" + kHost + "Content-Length: 40000\r\n\r\n" + body);
  const std::string answer = receive(socket);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(answer, Not(HasSubstr("<reset>")));
  EXPECT_EQ(server_.counters().refused, 1U);
}

TEST_F(HttpServerTest, refuses_a_head_that_does_not_end) {
  start();
  const auto socket = connect_to(port_);
  send_text(socket, "GET /healthz HTTP/1.1\r\nX: " + std::string(20'000, 'x'));
  EXPECT_THAT(receive(socket), StartsWith("HTTP/1.1 431 "));
}

TEST_F(HttpServerTest, closes_on_clients_that_are_too_slow_to_ask_and_counts_them) {
  Patience patience;
  patience.head = base::Milliseconds(200);
  start(patience);
  const auto socket = connect_to(port_);
  send_text(socket, "GET /healthz HTTP/1.1\r\nX:");
  EXPECT_EQ(receive(socket), "");
  EXPECT_EQ(server_.counters().timed_out, 1U);
}

TEST_F(HttpServerTest, a_trickle_does_not_prolong_the_patience) {
  Patience patience;
  patience.head = base::Milliseconds(300);
  start(patience);
  const auto socket = connect_to(port_);
  const base::Stopwatch stopwatch;
  std::string ignored;
  while (stopwatch.elapsed() < base::Seconds(5)) {
    if (::send(socket.get(), "x", 1, MSG_NOSIGNAL) != 1) break;
    pollfd wait{socket.get(), POLLIN, 0};
    if (::poll(&wait, 1, 20) == 1) break;
  }
  EXPECT_LT(stopwatch.elapsed(), base::Seconds(2));
}

TEST_F(HttpServerTest, closes_on_a_client_that_does_not_read_its_answer) {
  Patience patience;
  patience.answer = base::Milliseconds(200);
  start(patience);
  const auto socket = connect_to(port_, 4096);
  send_text(socket, "GET /big HTTP/1.1\r\n" + kHost + "\r\n");
  const base::Stopwatch stopwatch;
  while (server_.counters().timed_out == 0 && stopwatch.elapsed() < base::Seconds(5)) std::this_thread::yield();
  EXPECT_EQ(server_.counters().timed_out, 1U);
}

TEST_F(HttpServerTest, makes_room_for_a_new_client_by_closing_the_one_that_waited_longest) {
  Patience patience;
  patience.max_connections = 3;
  start(patience);
  std::vector<base::FileDescriptor> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(connect_to(port_));
    send_text(waiting.back(), "GET /heal");
  }
  ASSERT_TRUE(HttpClient::get(url_ + "/healthz", base::Seconds(5)));
  EXPECT_THAT(receive(waiting.front()), testing::AnyOf("", "<reset>"));
  EXPECT_EQ(server_.counters().crowded_out, 1U);
}

TEST_F(HttpServerTest, answers_within_two_seconds_among_500_clients_of_which_200_sent_half_a_request) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < 1200) GTEST_SKIP() << "needs 1200 descriptors, has " << limit.rlim_max;
  start();
  std::vector<base::FileDescriptor> clients;
  for (int i = 0; i < 500; ++i) {
    clients.push_back(connect_to(port_));
    const bool is_half = i % 5 < 2;
    send_text(clients.back(),
              is_half ? "GET /healthz HTTP/1.1\r\nHost: loc" : "GET /healthz HTTP/1.1\r\n" + kHost + "\r\n");
  }
  const base::Stopwatch stopwatch;
  const auto reply = HttpClient::get(url_ + "/healthz", base::Seconds(10));
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->status, 200);
  EXPECT_LT(stopwatch.elapsed(), base::Seconds(2));
  for (int i = 0; i < 500; ++i) {
    if (i % 5 >= 2) {
      EXPECT_THAT(receive(clients.at(static_cast<std::size_t>(i)), 20), StartsWith("HTTP/1.1 200 "));
    }
  }
  const base::Stopwatch stopping;
  server_.stop();
  EXPECT_LT(stopping.elapsed(), base::Milliseconds(500));
}

TEST_F(HttpServerTest, clients_that_do_not_read_are_in_nobodys_way) {
  Patience patience;
  patience.answer = base::Seconds(100);
  start(patience);
  std::vector<base::FileDescriptor> clients;
  for (int i = 0; i < 8; ++i) {  // more than there are workers
    clients.push_back(connect_to(port_, 4096));
    send_text(clients.back(), "GET /big HTTP/1.1\r\n" + kHost + "\r\n");
  }
  ASSERT_TRUE(HttpClient::get(url_ + "/healthz", base::Seconds(20)));
  EXPECT_EQ(server_.counters().timed_out, 0U);
}

TEST_F(HttpServerTest, stops_only_after_the_handlers_that_run) {
  start();
  const auto socket = connect_to(port_);
  send_text(socket, "GET /wait HTTP/1.1\r\n" + kHost + "\r\n");
  inside_.wait();
  auto stopped = std::async(std::launch::async, [this] { server_.stop(); });
  EXPECT_EQ(stopped.wait_for(base::Milliseconds(100)), std::future_status::timeout);
  leave_.set_value();
  EXPECT_EQ(stopped.wait_for(base::Seconds(5)), std::future_status::ready);
}

TEST_F(HttpServerTest, can_be_stopped_twice_and_without_having_started) {
  server_.stop();
  start();
  server_.stop();
  server_.stop();
  EXPECT_FALSE(HttpClient::get(url_ + "/healthz", base::Seconds(1)));
}

TEST_F(HttpServerTest, counts_failures_of_handlers_apart) {
  HttpServer server({{"/broken", [](const Request&) -> Response { throw std::bad_alloc(); }}});
  const auto bound = server.start({"127.0.0.1", 0});
  ASSERT_TRUE(bound);
  EXPECT_EQ(HttpClient::get("http://" + bound->text() + "/broken", base::Seconds(5))->status, 500);
  EXPECT_EQ(HttpClient::get("http://" + bound->text() + "/nothing", base::Seconds(5))->status, 404);
  EXPECT_EQ(server.counters().failed, 1U);
  EXPECT_EQ(server.counters().refused, 1U);
  EXPECT_EQ(server.counters().requests, 2U);
}

TEST(ListenAddress, reads_back_what_it_writes) {
  for (const std::string text : {"127.0.0.1:9650", "[::1]:0", "0.0.0.0:65535"}) {
    const auto address = ListenAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->text(), text);
  }
}

TEST(ListenAddress, refuses_other_forms_and_shows_the_right_ones) {
  for (const std::string text : {"", "9650", ":9650", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                                 "127.0.0.1:80x", "::1:9650", "[127.0.0.1]:1", "localhost:9650", "[::1]", "[]:1"}) {
    const auto address = ListenAddress::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, base::ErrorCode::kInvalidArgument);
    EXPECT_THAT(address.error().hint, HasSubstr("127.0.0.1:9650 or [::1]:9650"));
  }
}

TEST(HttpClient, refuses_what_is_no_plain_http_url) {
  for (const std::string url :
       {"", "127.0.0.1:1", "https://127.0.0.1:1", "http://", "http:///x", "http://a b/", "http://127.0.0.1:99999/",
        "http://[::1]:x", "http://127.0.0.1:99999999999999999999", "http://127.0.0.1:1/\r\nX: y"}) {
    const auto reply = HttpClient::get(url, base::Seconds(1));
    ASSERT_FALSE(reply) << url;
    EXPECT_EQ(reply.error().code, base::ErrorCode::kInvalidArgument) << url;
  }
}

TEST(HttpClient, says_who_did_not_answer) {
  const auto listener = listen_on({"127.0.0.1", 0});
  ASSERT_TRUE(listener);
  const std::string origin = "http://" + bound_address(*listener).text();
  const base::Stopwatch stopwatch;
  const auto late = HttpClient::get(origin + "/x", base::Milliseconds(200));
  ASSERT_FALSE(late);
  EXPECT_LT(stopwatch.elapsed(), base::Seconds(2));
  EXPECT_EQ(late.error().code, base::ErrorCode::kUnavailable);
  EXPECT_THAT(late.error().message(), HasSubstr(origin + ": no answer within 200 ms"));
}

TEST(HttpClient, gives_up_on_a_server_that_trickles) {
  const auto listener = listen_on({"127.0.0.1", 0});
  ASSERT_TRUE(listener);
  std::atomic<bool> is_done = false;
  std::thread server([&] {
    pollfd wait{listener->get(), POLLIN, 0};
    ::poll(&wait, 1, 5000);
    const base::FileDescriptor client(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    (void)::send(client.get(), head.data(), head.size(), MSG_NOSIGNAL);
    pollfd pause{client.get(), 0, 0};
    while (!is_done && ::send(client.get(), "x", 1, MSG_NOSIGNAL) == 1) ::poll(&pause, 1, 20);
  });
  const base::Stopwatch stopwatch;
  EXPECT_FALSE(HttpClient::get("http://" + bound_address(*listener).text(), base::Milliseconds(300)));
  EXPECT_LT(stopwatch.elapsed(), base::Seconds(2));
  is_done = true;
  server.join();
}

}  // namespace
}  // namespace tidewaiter::serve
