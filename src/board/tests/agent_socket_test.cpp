// SPDX-License-Identifier: Apache-2.0
#include "board/agent_socket.h"

#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>

#include "board/process_identity.h"
#include "board/tests/socket_samples.h"
#include "board/unix_address.h"

namespace tidewaiter::board {
namespace {

using base::ErrorCode;
using base::Seconds;

constexpr uid_t kNobody = 65534;
const tw_record kHost = record_of({}, 7);

bool is_readable(int descriptor, int timeout_ms = 0) {
  pollfd wanted{descriptor, POLLIN, 0};
  return poll(&wanted, 1, timeout_ms) == 1;
}

/// An agent of one block that serves until it is destroyed, in a thread of its own.
class Agent {
 public:
  explicit Agent(const std::string& path, std::uint64_t max_clients = 256)
      : writer_(writer_of()), socket_(start(path, max_clients, writer_)) {
    writer_.publish(kHost, std::vector{record_of(tuple_of(1), 10)}, at(Seconds(5)));
    thread_ = std::thread([this] {
      while (!is_over_) {
        if (is_readable(socket_.descriptor(), 5)) socket_.on_readable();
      }
    });
  }
  ~Agent() { stop(); }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// The socket may be looked at afterwards.
  AgentSocket& stop() {
    is_over_ = true;
    if (thread_.joinable()) thread_.join();
    return socket_;
  }

 private:
  static AgentSocket start(const std::string& path, std::uint64_t max_clients, const ParameterBlockWriter& writer) {
    auto socket = AgentSocket::listen({.path = path, .max_clients = max_clients}, writer);
    if (!socket) {
      ADD_FAILURE() << socket.error().message();
      std::abort();
    }
    return std::move(*socket);
  }

  ParameterBlockWriter writer_;
  AgentSocket socket_;
  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};

base::FileDescriptor connect_only(const std::string& path) {
  base::FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto address = UnixAddress::of(path);
  if (::connect(socket.get(), address->get(), UnixAddress::size()) != 0) socket.reset();
  return socket;
}

TEST(AgentSocket, gives_each_client_the_block) {
  const Directory directory;
  const Agent agent(directory.socket());
  for (int i = 0; i < 3; ++i) {
    const auto attachment = attach(directory.socket());
    ASSERT_TRUE(attachment) << attachment.error().message();
    EXPECT_EQ(attachment->interval, Seconds(1));
    tw_record record{};
    EXPECT_EQ(attachment->block.host(at(Seconds(5)), record), Freshness::kLive);
    EXPECT_TRUE(is_same(record, kHost));
  }
}

TEST(AgentSocket, connection_hangs_up_when_the_agent_ends_and_the_block_is_stale) {
  const Directory directory;
  auto agent = std::make_unique<Agent>(directory.socket());
  const auto attachment = attach(directory.socket());
  ASSERT_TRUE(attachment) << attachment.error().message();
  EXPECT_FALSE(is_readable(attachment->connection.get()));
  agent.reset();
  EXPECT_TRUE(is_readable(attachment->connection.get(), 1000));
  tw_record record{};
  EXPECT_EQ(attachment->block.host(at(Seconds(5)), record), Freshness::kStale);
  EXPECT_TRUE(is_same(record, kHost));
  EXPECT_FALSE(std::filesystem::exists(directory.socket())) << "and its path is removed";
}

TEST(AgentSocket, path_is_for_everybody_whatever_the_umask) {
  const Directory directory;
  const mode_t before = umask(0077);
  const Agent agent(directory.socket());
  umask(before);
  struct stat status {};
  ASSERT_EQ(stat(directory.socket().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, mode_t{0666});
}

TEST(AgentSocket, has_nothing_to_do_until_a_client_comes) {
  const Directory directory;
  const auto writer = writer_of();
  auto socket = AgentSocket::listen({.path = directory.socket()}, writer);
  ASSERT_TRUE(socket);
  EXPECT_FALSE(is_readable(socket->descriptor()));
  socket->on_readable();
  EXPECT_EQ(socket->clients(), 0U);
  auto client = connect_only(directory.socket());
  ASSERT_TRUE(is_readable(socket->descriptor(), 1000));
  socket->on_readable();
  EXPECT_EQ(socket->clients(), 1U);
  EXPECT_FALSE(is_readable(socket->descriptor())) << "a silent client costs nothing";
  EXPECT_EQ(::send(client.get(), "x", 1, 0), 1);
  EXPECT_FALSE(is_readable(socket->descriptor())) << "nor one that talks";
  client.reset();
  ASSERT_TRUE(is_readable(socket->descriptor(), 1000));
  socket->on_readable();
  EXPECT_EQ(socket->clients(), 0U);
  EXPECT_FALSE(is_readable(socket->descriptor()));
}

TEST(AgentSocket, client_that_talks_without_end_fills_only_its_own_buffer) {
  const Directory directory;
  const auto writer = writer_of();
  auto socket = AgentSocket::listen({.path = directory.socket()}, writer);
  ASSERT_TRUE(socket);
  const auto client = connect_only(directory.socket());
  socket->on_readable();
  const std::vector<char> text(1000);
  while (::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL) > 0) {
  }
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_FALSE(is_readable(socket->descriptor()));
  const auto other = connect_only(directory.socket());
  socket->on_readable();
  EXPECT_EQ(socket->clients(), 2U);
}

TEST(AgentSocket, clients_beyond_the_limit_get_the_block_but_no_connection) {
  const Directory directory;
  Agent agent(directory.socket(), 2);
  std::vector<Attachment> attachments;
  for (int i = 0; i < 3; ++i) {
    auto attachment = attach(directory.socket());
    ASSERT_TRUE(attachment) << attachment.error().message();
    attachments.push_back(std::move(*attachment));
  }
  EXPECT_TRUE(is_readable(attachments[2].connection.get(), 1000)) << "hung up";
  tw_record record{};
  EXPECT_EQ(attachments[2].block.host(at(Seconds(5)), record), Freshness::kLive);
  const AgentSocket& socket = agent.stop();
  EXPECT_EQ(socket.clients(), 2U);
  EXPECT_EQ(socket.counters().greeted, 3U);
  EXPECT_EQ(socket.counters().not_kept, 1U);
  EXPECT_EQ(socket.counters().failed, 0U);
}

TEST(AgentSocket, greets_a_crowd_some_at_a_time) {
  const Directory directory;
  const auto writer = writer_of();
  auto socket = AgentSocket::listen({.path = directory.socket()}, writer);
  ASSERT_TRUE(socket);
  std::vector<base::FileDescriptor> crowd;
  crowd.reserve(50);
  for (int i = 0; i < 50; ++i) crowd.push_back(connect_only(directory.socket()));
  socket->on_readable();
  EXPECT_LT(socket->clients(), 50U);
  int rounds = 0;
  while (is_readable(socket->descriptor()) && ++rounds < 50) socket->on_readable();
  EXPECT_EQ(socket->clients(), 50U);
}

TEST(AgentSocket, without_free_descriptors_it_turns_clients_away_and_goes_on) {
  const Directory directory;
  const auto writer = writer_of();
  auto socket = AgentSocket::listen({.path = directory.socket()}, writer);
  ASSERT_TRUE(socket);
  auto client = connect_only(directory.socket());
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{100, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  std::vector<base::FileDescriptor> all;
  for (int taken = dup(client.get()); taken >= 0; taken = dup(client.get())) all.emplace_back(taken);
  socket->on_readable();
  const bool is_spinning = is_readable(socket->descriptor());
  all.clear();
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(socket->counters().failed, 1U);
  EXPECT_FALSE(is_spinning) << "the client was taken off the queue";
  client = connect_only(directory.socket());
  socket->on_readable();
  EXPECT_EQ(socket->clients(), 1U);
}

TEST(AgentSocket, replaces_the_socket_of_a_dead_agent) {
  const Directory directory;
  const int died = in_child([&]() -> int {
    const auto writer = writer_of();
    const auto socket = AgentSocket::listen({.path = directory.socket()}, writer);
    _exit(socket ? 0 : 1);  // as if killed: nothing is removed
  });
  ASSERT_EQ(died, 0);
  ASSERT_TRUE(std::filesystem::exists(directory.socket()));
  const auto before = attach(directory.socket());
  ASSERT_FALSE(before);
  EXPECT_EQ(before.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(before.error().hint, "start the agent: tidewaiter run");
  const Agent agent(directory.socket());
  EXPECT_TRUE(attach(directory.socket()));
}

TEST(AgentSocket, leaves_the_socket_of_a_living_agent_alone) {
  const Directory directory;
  const Agent agent(directory.socket());
  const auto writer = writer_of();
  const auto second = AgentSocket::listen({.path = directory.socket()}, writer);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(second.error().message(), testing::HasSubstr("another program serves"));
  EXPECT_TRUE(attach(directory.socket())) << "the refused one has removed nothing";
}

TEST(AgentSocket, removes_only_its_own_path) {
  const Directory directory;
  const auto writer = writer_of();
  {
    auto first = AgentSocket::listen({.path = directory.socket()}, writer);
    ASSERT_TRUE(first);
    std::filesystem::remove(directory.socket());
    std::ofstream(directory.socket()) << "somebody else's";
  }
  EXPECT_TRUE(std::filesystem::exists(directory.socket()));
}

TEST(AgentSocket, refuses_a_path_that_it_cannot_have) {
  const Directory directory;
  const auto writer = writer_of();
  const auto code_of = [&](const std::string& path) {
    const auto socket = AgentSocket::listen({.path = path}, writer);
    return socket ? "none" : name(socket.error().code);
  };
  EXPECT_EQ(code_of(""), "invalid_argument");
  EXPECT_EQ(code_of("/tmp/" + std::string(103, 'x')), "invalid_argument");
  EXPECT_EQ(code_of(directory.socket() + "/missing/agent.sock"), "not_found");
  std::ofstream(directory.socket()) << "a file";
  EXPECT_EQ(code_of(directory.socket()), "invalid_argument");
  EXPECT_TRUE(std::filesystem::exists(directory.socket())) << "and it is still there";
}

TEST(AgentSocket, settings_say_what_is_allowed) {
  AgentSocket::Options options;
  const auto settings = AgentSocket::settings_of(options);
  EXPECT_TRUE(base::apply_toml("board.max_clients = 7", "test.toml", settings));
  EXPECT_EQ(options.max_clients, 7U);
  EXPECT_FALSE(base::apply_toml("board.max_clients = 0", "test.toml", settings));
}

TEST(Attach, works_for_any_user) {
  constexpr int kCannotEnter = 13;
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  const Directory directory;
  const Agent agent(directory.socket());
  const int outcome = in_child([&] {
    if (setuid(kNobody) != 0) return 10;
    if (access(directory.socket().c_str(), F_OK) != 0) return kCannotEnter;
    const auto attachment = attach(directory.socket());
    if (!attachment) return 11;
    tw_record record{};
    return attachment->block.host(at(Seconds(5)), record) == Freshness::kLive ? 0 : 12;
  });
  if (outcome == kCannotEnter) GTEST_SKIP() << "other users cannot enter the directory of temporary files here";
  EXPECT_EQ(outcome, 0);
}

TEST(Attach, believes_a_foreign_user_only_where_the_socket_is_his) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  const Directory directory;
  // The path is root's, who alone may write there; the listener is nobody's.
  const base::FileDescriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const auto address = UnixAddress::of(directory.socket());
  ASSERT_EQ(::bind(listener.get(), address->get(), UnixAddress::size()), 0);
  ASSERT_EQ(seteuid(kNobody), 0);
  const int listening = ::listen(listener.get(), 8);
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_EQ(listening, 0);
  const auto refused = attach(directory.socket(), base::Milliseconds(10));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kNotPermitted);
  EXPECT_THAT(refused.error().message(), testing::HasSubstr("served by user 65534"));
  ASSERT_EQ(chown(directory.socket().c_str(), kNobody, kNobody), 0);
  const auto silent = attach(directory.socket(), base::Milliseconds(10));
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, ErrorCode::kUnavailable) << "believed, but it says nothing";
  EXPECT_THAT(silent.error().message(), testing::HasSubstr("did not answer in time"));
}

TEST(Attach, refuses_an_agent_of_another_time_namespace) {
  const Directory directory;
  const Agent agent(directory.socket());
  const int outcome = in_child([&] {
    if (unshare(CLONE_NEWTIME) != 0) return 77;
    return in_child([&] {  // only children of the caller are in the new one
      const auto attachment = attach(directory.socket());
      if (attachment || attachment.error().code != ErrorCode::kUnavailable) return 1;
      return attachment.error().message().find("time namespace") == std::string::npos ? 2 : 0;
    });
  });
  if (outcome == 77) GTEST_SKIP() << "a time namespace needs root and Linux 5.6";
  EXPECT_EQ(outcome, 0);
}

TEST(Attach, says_what_to_do_when_there_is_no_agent) {
  const Directory directory;
  const auto attachment = attach(directory.socket());
  ASSERT_FALSE(attachment);
  EXPECT_EQ(attachment.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(attachment.error().hint, "start the agent: tidewaiter run");
  EXPECT_FALSE(attach(""));
}

/// An agent that says what a test wants.
class OddAgent {
 public:
  explicit OddAgent(const std::string& path) : listener_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    const auto address = UnixAddress::of(path);
    if (::bind(listener_.get(), address->get(), UnixAddress::size()) != 0) std::abort();
    if (::listen(listener_.get(), 8) != 0) std::abort();
  }

  /// What attach makes of a message with these descriptors.
  base::Result<Attachment> answer(const std::string& path, std::string message, std::vector<int> descriptors) {
    std::thread client([&, this] {
      const base::FileDescriptor connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      send(connection.get(), message, descriptors);
    });
    auto attachment = attach(path);
    client.join();
    return attachment;
  }

 private:
  static void send(int connection, std::string& text, const std::vector<int>& descriptors) {
    if (text.empty()) return;
    iovec part{text.data(), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(64 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
      cmsghdr* const rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
      std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
    }
    EXPECT_GE(::sendmsg(connection, &message, MSG_NOSIGNAL), 0);
  }

  base::FileDescriptor listener_;
};

tw_hello good_hello() {
  const ProcessIdentity own = own_identity();
  tw_hello hello{};
  hello.magic = TW_HELLO_MAGIC;
  hello.version = TW_HELLO_VERSION;
  hello.size = sizeof hello;
  hello.interval_ns = 1'000'000'000;
  hello.time_namespace = own.time_namespace;
  own.boot_id.copy(hello.boot_id, sizeof hello.boot_id - 1);
  hello.descriptor_kinds[0] = TW_DESCRIPTOR_PARAMETER_BLOCK;
  return hello;
}

std::string bytes_of(const tw_hello& hello) { return {reinterpret_cast<const char*>(&hello), sizeof hello}; }

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

TEST(Attach, refuses_a_hello_that_is_not_one) {
  const Directory directory;
  OddAgent agent(directory.socket());
  const auto writer = writer_of();
  const auto answer_to = [&](const std::string& message) {
    const auto attachment = agent.answer(directory.socket(), message, {writer.descriptor()});
    return attachment ? "accepted" : attachment.error().message();
  };
  EXPECT_EQ(answer_to(bytes_of(good_hello())), "accepted");
  EXPECT_THAT(answer_to(bytes_of(good_hello()).substr(1)), testing::HasSubstr("79 bytes, expected at least 80"));
  EXPECT_EQ(answer_to(""), "the agent hung up without a hello");
  tw_hello hello = good_hello();
  hello.magic = 0;
  EXPECT_THAT(answer_to(bytes_of(hello)), testing::HasSubstr("not one"));
  hello = good_hello();
  hello.version = 2;
  EXPECT_THAT(answer_to(bytes_of(hello)), testing::HasSubstr("version 2, this program knows 1"));
  hello = good_hello();
  hello.interval_ns = 0;
  EXPECT_THAT(answer_to(bytes_of(hello)), testing::HasSubstr("no interval"));
  hello = good_hello();
  std::memset(hello.boot_id, 'x', sizeof hello.boot_id);
  EXPECT_THAT(answer_to(bytes_of(hello)), testing::HasSubstr("another boot"));
  hello = good_hello();
  ++hello.time_namespace;
  EXPECT_THAT(answer_to(bytes_of(hello)), testing::HasSubstr("time namespace"));
  hello = good_hello();
  hello.descriptor_kinds[0] = TW_DESCRIPTOR_NONE;
  EXPECT_THAT(answer_to(bytes_of(hello)), testing::HasSubstr("without a parameter block"));
}

TEST(Attach, refuses_a_hello_without_descriptors_or_with_a_wrong_one) {
  const Directory directory;
  OddAgent agent(directory.socket());
  const base::FileDescriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(agent.answer(directory.socket(), bytes_of(good_hello()), {}));
  const auto wrong = agent.answer(directory.socket(), bytes_of(good_hello()), {null.get()});
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message(), testing::HasSubstr("no memfd"));
}

TEST(Attach, understands_a_later_agent_that_says_and_sends_more) {
  const Directory directory;
  OddAgent agent(directory.socket());
  const auto writer = writer_of();
  const base::FileDescriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  tw_hello hello = good_hello();
  hello.size = 200;
  hello.descriptor_kinds[0] = 77;
  hello.descriptor_kinds[1] = TW_DESCRIPTOR_PARAMETER_BLOCK;
  const std::size_t before = open_descriptors();
  {
    const auto attachment = agent.answer(directory.socket(), bytes_of(hello) + std::string(120, 'x'),
                                         {null.get(), writer.descriptor(), null.get()});
    ASSERT_TRUE(attachment) << attachment.error().message();
    EXPECT_EQ(open_descriptors(), before + 1) << "the connection; the unknown ones are closed";
  }
  const std::vector<int> many(50, null.get());
  EXPECT_FALSE(agent.answer(directory.socket(), bytes_of(good_hello()), many));
  EXPECT_EQ(open_descriptors(), before) << "no descriptor leaks";
}

}  // namespace
}  // namespace tidewaiter::board
