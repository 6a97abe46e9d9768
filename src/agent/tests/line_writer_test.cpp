// SPDX-License-Identifier: Apache-2.0
#include "agent/line_writer.h"

#include <csignal>
#include <fcntl.h>
#include <future>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file_descriptor.h"

namespace tidewaiter::agent {
namespace {

using Outcome = LineWriter::Outcome;

/// A pipe as small as they come.
struct Pipe {
  base::FileDescriptor reader;
  base::FileDescriptor writer;

  Pipe() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    reader = base::FileDescriptor(ends[0]);
    writer = base::FileDescriptor(ends[1]);
    fcntl(writer.get(), F_SETPIPE_SZ, 4096);
  }

  [[nodiscard]] std::string read_some(std::size_t most) const {
    std::string text(most, '\0');
    const ssize_t size = ::read(reader.get(), text.data(), text.size());
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  }
  [[nodiscard]] std::string read_all() const {
    std::string text;
    for (std::string some = read_some(65'536); !some.empty(); some = read_some(65'536)) text += some;
    return text;
  }
};

TEST(LineWriter, writes_the_whole_line) {
  Pipe pipe;
  LineWriter lines(pipe.writer.get());
  EXPECT_EQ(lines.write("one\n", false), Outcome::kWritten);
  EXPECT_EQ(pipe.read_some(100), "one\n");
}

TEST(LineWriter, waits_for_a_slow_reader) {
  Pipe pipe;
  const std::string line = std::string(100'000, 'x') + "\n";
  auto text = std::async(std::launch::async, [&] { return pipe.read_all(); });
  LineWriter lines(pipe.writer.get());
  EXPECT_EQ(lines.write(line, false), Outcome::kWritten);
  pipe.writer.reset();
  EXPECT_EQ(text.get(), line);
}

TEST(LineWriter, gives_up_on_a_reader_that_does_not_read_once_it_is_stopping) {
  Pipe pipe;
  LineWriter lines(pipe.writer.get());
  std::atomic<bool> is_stopping = false;
  auto outcome = std::async(std::launch::async, [&] { return lines.write(std::string(100'000, 'x'), is_stopping); });
  int waiting = 0;
  while (ioctl(pipe.reader.get(), FIONREAD, &waiting) == 0 && waiting < 4096) std::this_thread::yield();
  is_stopping = true;
  ASSERT_EQ(outcome.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_EQ(outcome.get(), Outcome::kAbandoned);
}

TEST(LineWriter, begins_on_a_new_line_after_an_abandoned_one) {
  Pipe pipe;
  LineWriter lines(pipe.writer.get());
  EXPECT_EQ(lines.write(std::string(5'000, 'x'), true), Outcome::kAbandoned);
  EXPECT_EQ(pipe.read_some(8'192), std::string(4'096, 'x'));
  EXPECT_EQ(lines.write("two\n", true), Outcome::kWritten);
  EXPECT_EQ(pipe.read_some(100), "\ntwo\n");
  EXPECT_EQ(lines.write("three\n", true), Outcome::kWritten);
  EXPECT_EQ(pipe.read_some(100), "three\n");
}

TEST(LineWriter, line_that_never_began_leaves_nothing_to_separate) {
  Pipe pipe;
  LineWriter lines(pipe.writer.get());
  ASSERT_EQ(lines.write(std::string(4'095, 'x') + "\n", true), Outcome::kWritten);
  EXPECT_EQ(lines.write("lost\n", true), Outcome::kAbandoned);
  EXPECT_EQ(pipe.read_some(8'192).size(), 4'096U);
  EXPECT_EQ(lines.write("two\n", true), Outcome::kWritten);
  EXPECT_EQ(pipe.read_some(100), "two\n");
}

TEST(LineWriter, a_broken_line_stays_broken_until_a_whole_one_is_out) {
  Pipe pipe;
  LineWriter lines(pipe.writer.get());
  ASSERT_EQ(lines.write(std::string(5'000, 'x'), true), Outcome::kAbandoned);
  EXPECT_EQ(lines.write("lost\n", true), Outcome::kAbandoned) << "the pipe is full";
  EXPECT_EQ(pipe.read_some(8'192).size(), 4'096U);
  EXPECT_EQ(lines.write("two\n", true), Outcome::kWritten);
  EXPECT_EQ(pipe.read_some(100), "\ntwo\n");
}

TEST(LineWriter, says_when_there_is_no_reader_any_more) {
  auto* const before = std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  pipe.reader.reset();
  LineWriter lines(pipe.writer.get());
  EXPECT_EQ(lines.write("one\n", false), Outcome::kClosed);
  std::signal(SIGPIPE, before);
}

}  // namespace
}  // namespace tidewaiter::agent
