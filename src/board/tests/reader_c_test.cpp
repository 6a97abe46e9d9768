// SPDX-License-Identifier: Apache-2.0
#include "board/reader_c.h"

#include <cerrno>
#include <poll.h>
#include <thread>

#include "board/tests/socket_samples.h"

extern "C" int read_in_c(const char* path, const tw_tuple* key, int64_t now_ns, tw_record* record,
                         const tw_parameters** obeyed);

namespace tidewaiter::board {
namespace {

constexpr std::int64_t kNowNs = 5'000'000'000;

/// A published block and its socket; `serving` runs `work` while one client is greeted.
class ReaderInC : public testing::Test {
 protected:
  void SetUp() override {
    auto socket = AgentSocket::listen({.path = directory_.socket()}, writer_);
    ASSERT_TRUE(socket) << socket.error().message();
    socket_ = std::make_unique<AgentSocket>(std::move(*socket));
    publish({1, 2});
  }

  void publish(const std::vector<std::uint32_t>& numbers) {
    writer_.publish(record_of({}, 3), records_of(numbers), base::Instant(base::Nanoseconds(kNowNs)));
  }

  template <class Work>
  auto serving(Work work) {
    std::thread agent([this] {
      pollfd wanted{socket_->descriptor(), POLLIN, 0};
      if (poll(&wanted, 1, 5000) == 1) socket_->on_readable();
    });
    auto result = work();
    agent.join();
    return result;
  }

  tw_board* attached() {
    tw_board* board = nullptr;
    EXPECT_EQ(serving([&] { return tw_board_attach(directory_.socket().c_str(), &board); }), 0) << tw_board_error();
    return board;
  }

  Directory directory_;
  ParameterBlockWriter writer_ = writer_of();
  std::unique_ptr<AgentSocket> socket_;
};

TEST_F(ReaderInC, reads_from_a_file_of_c) {
  const tw_tuple key = tuple_of(2);
  tw_record record{};
  const tw_parameters* obeyed = nullptr;
  const int freshness = serving([&] { return read_in_c(directory_.socket().c_str(), &key, kNowNs, &record, &obeyed); });
  EXPECT_EQ(freshness, TW_LIVE);
  EXPECT_TRUE(is_same(record, record_of(key, 2)));
  EXPECT_EQ(obeyed, &record.enforced);
}

TEST_F(ReaderInC, remembers_the_slot_and_finds_the_tuple_where_it_moved) {
  tw_board* const board = attached();
  ASSERT_NE(board, nullptr);
  const tw_tuple key = tuple_of(2);
  tw_record record{};
  std::uint32_t slot = TW_NO_SLOT;
  EXPECT_EQ(tw_board_read(board, &key, kNowNs, &slot, &record), TW_LIVE);
  EXPECT_EQ(slot, 1U);
  publish({1});
  EXPECT_EQ(tw_board_read(board, &key, kNowNs, &slot, &record), TW_ABSENT);
  EXPECT_EQ(slot, TW_NO_SLOT);
  publish({1, 3, 2});
  EXPECT_EQ(tw_board_read(board, &key, kNowNs, &slot, &record), TW_LIVE);
  EXPECT_EQ(slot, 2U);
  EXPECT_EQ(tw_board_read(board, &key, kNowNs + 3'000'000'000, &slot, &record), TW_STALE);
  EXPECT_EQ(tw_obeyed(TW_STALE, &record), &record.stale);
  EXPECT_EQ(tw_board_read_host(board, kNowNs, &record), TW_LIVE);
  EXPECT_TRUE(is_same(record, record_of({}, 3)));
  tw_board_detach(board);
}

TEST_F(ReaderInC, connection_can_be_polled_for_the_end_of_the_agent) {
  tw_board* const board = attached();
  ASSERT_NE(board, nullptr);
  pollfd wanted{tw_board_connection(board), POLLIN, 0};
  EXPECT_EQ(poll(&wanted, 1, 0), 0);
  socket_.reset();
  EXPECT_EQ(poll(&wanted, 1, 1000), 1);
  EXPECT_NE(wanted.revents & POLLHUP, 0);
  tw_board_detach(board);
}

TEST_F(ReaderInC, says_why_it_could_not_attach) {
  tw_board* board = nullptr;
  EXPECT_EQ(tw_board_attach("/nowhere/agent.sock", &board), -ENOENT);
  EXPECT_EQ(board, nullptr);
  EXPECT_STREQ(tw_board_error(),
               "connect to /nowhere/agent.sock: No such file or directory; start the agent: tidewaiter run");
  EXPECT_EQ(tw_board_attach("", &board), -EINVAL);
  tw_board_detach(board);
  tw_board_detach(attached());
  EXPECT_STREQ(tw_board_error(), "");
}

}  // namespace
}  // namespace tidewaiter::board
