// SPDX-License-Identifier: Apache-2.0
//
// The loop around a dump, with the test in the kernel's place at the other end of a socket pair.
#include "kernel/diag_socket.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <thread>

namespace tidewaiter::kernel {
namespace {

class Rows final : public telemetry::RowSink {
 public:
  void on_row(const telemetry::SocketRow&) override { ++rows; }
  void on_restart() override {
    rows = 0;
    ++restarts;
  }
  int rows = 0;
  int restarts = 0;
};

std::string message(std::uint16_t type, std::uint32_t sequence, std::size_t payload_bytes,
                    std::uint16_t flags = NLM_F_MULTI) {
  std::string bytes(sizeof(nlmsghdr) + NLMSG_ALIGN(payload_bytes), '\0');
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(sizeof header + payload_bytes);
  header.nlmsg_type = type;
  header.nlmsg_flags = flags;
  header.nlmsg_seq = sequence;
  std::memcpy(bytes.data(), &header, sizeof header);
  if (type == TCPDIAG_GETSOCK && payload_bytes >= sizeof(inet_diag_msg)) bytes[sizeof header] = AF_INET;
  return bytes;
}

std::string row(std::uint32_t sequence, std::uint16_t flags = NLM_F_MULTI) {
  return message(TCPDIAG_GETSOCK, sequence, sizeof(inet_diag_msg), flags);
}
std::string done(std::uint32_t sequence) { return message(NLMSG_DONE, sequence, sizeof(int)); }

/// Answers each request with the datagrams that `answer` makes for its number (1, 2, …) and sequence.
class Kernel {
 public:
  using Answer = std::function<std::vector<std::string>(int request, std::uint32_t sequence)>;
  explicit Kernel(Answer answer) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    client = base::FileDescriptor(ends[0]);
    server_ = base::FileDescriptor(ends[1]);
    thread_ = std::thread([this, answer = std::move(answer)] {
      std::array<char, 8192> request{};
      for (int number = 1;; ++number) {
        const ssize_t length = recv(server_.get(), request.data(), request.size(), 0);
        if (length <= 0) return;
        nlmsghdr header{};
        std::memcpy(&header, request.data(), sizeof header);
        for (const std::string& datagram : answer(number, header.nlmsg_seq)) {
          send(server_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL);
        }
        requests = number;
      }
    });
  }
  ~Kernel() { thread_.join(); }

  base::FileDescriptor client;
  std::atomic<int> requests = 0;

 private:
  base::FileDescriptor server_;
  std::thread thread_;
};

base::Result<DumpCost> dump(Kernel& kernel, Rows& rows) {
  DiagSocket socket = DiagSocket::over(std::move(kernel.client));
  return socket.dump({}, rows);
}

TEST(DiagSocket, reads_a_dump_of_many_datagrams) {
  Kernel kernel([](int, std::uint32_t sequence) -> std::vector<std::string> {
    return {row(sequence) + row(sequence), row(sequence), done(sequence)};
  });
  Rows rows;
  const auto cost = dump(kernel, rows);
  ASSERT_TRUE(cost) << cost.error().message();
  EXPECT_EQ(cost->rows, 3U);
  EXPECT_EQ(cost->restarts, 0U);
  EXPECT_EQ(rows.rows, 3);
}

TEST(DiagSocket, starts_again_when_the_dump_was_interrupted_and_reads_the_old_one_to_its_end) {
  Kernel kernel([](int request, std::uint32_t sequence) -> std::vector<std::string> {
    const std::uint16_t flags = request == 1 ? NLM_F_MULTI | NLM_F_DUMP_INTR : NLM_F_MULTI;
    return {row(sequence, flags), row(sequence), done(sequence)};
  });
  Rows rows;
  const auto cost = dump(kernel, rows);
  ASSERT_TRUE(cost);
  EXPECT_EQ(cost->restarts, 1U);
  EXPECT_EQ(cost->rows, 2U) << "of the second dump alone";
  EXPECT_EQ(rows.rows, 2);
  EXPECT_EQ(rows.restarts, 1);
}

TEST(DiagSocket, takes_an_interrupted_dump_after_three_restarts_and_says_so) {
  Kernel kernel([](int, std::uint32_t sequence) -> std::vector<std::string> {
    return {row(sequence, NLM_F_MULTI | NLM_F_DUMP_INTR), done(sequence)};
  });
  Rows rows;
  const auto cost = dump(kernel, rows);
  ASSERT_TRUE(cost);
  EXPECT_EQ(cost->restarts, 3U);
  EXPECT_EQ(rows.rows, 1);
}

TEST(DiagSocket, makes_room_for_a_datagram_that_was_too_long_and_starts_again) {
  Kernel kernel([](int, std::uint32_t sequence) -> std::vector<std::string> {
    std::string long_one;
    while (long_one.size() < 100'000) long_one += row(sequence);
    return {long_one, done(sequence)};
  });
  Rows rows;
  const auto cost = dump(kernel, rows);
  ASSERT_TRUE(cost) << cost.error().message();
  EXPECT_EQ(cost->restarts, 1U);
  EXPECT_GT(rows.rows, 1'000);
}

TEST(DiagSocket, says_what_is_missing_when_the_kernel_has_no_socket_listing) {
  for (const int error : {EOPNOTSUPP, ENOENT}) {
    Kernel kernel([error](int, std::uint32_t sequence) -> std::vector<std::string> {
      std::string refusal = message(NLMSG_ERROR, sequence, sizeof(nlmsgerr));
      const int negative = -error;
      std::memcpy(refusal.data() + sizeof(nlmsghdr), &negative, sizeof negative);
      return {refusal};
    });
    Rows rows;
    const auto cost = dump(kernel, rows);
    ASSERT_FALSE(cost);
    EXPECT_EQ(cost.error().code, base::ErrorCode::kUnavailable);
    EXPECT_NE(cost.error().hint.find("modprobe tcp_diag"), std::string::npos);
  }
}

TEST(DiagSocket, does_not_wait_for_a_dump_that_ends_without_its_end) {
  auto ends = std::array<int, 2>{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
  DiagSocket socket = DiagSocket::over(base::FileDescriptor(ends[0]));
  base::FileDescriptor peer(ends[1]);
  const std::string first = row(1);
  send(peer.get(), first.data(), first.size(), 0);
  shutdown(peer.get(), SHUT_WR);
  Rows rows;
  const auto cost = socket.dump({}, rows);
  ASSERT_FALSE(cost);
  EXPECT_EQ(cost.error().code, base::ErrorCode::kUnavailable);
}

TEST(DiagSocket, refuses_a_malformed_datagram) {
  Kernel kernel([](int, std::uint32_t sequence) -> std::vector<std::string> { return {row(sequence).substr(0, 50)}; });
  Rows rows;
  const auto cost = dump(kernel, rows);
  ASSERT_FALSE(cost);
  EXPECT_EQ(cost.error().code, base::ErrorCode::kMalformed);
}

}  // namespace
}  // namespace tidewaiter::kernel
