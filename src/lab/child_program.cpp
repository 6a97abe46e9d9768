// SPDX-License-Identifier: Apache-2.0
#include "lab/child_program.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lab/clock.h"
#include "lab/leftovers.h"

namespace tidewaiter::lab {
namespace {

struct Pipe {
  base::FileDescriptor read_end;
  base::FileDescriptor write_end;
};

base::Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return base::fail_errno(errno, "make a pipe");
  return Pipe{base::FileDescriptor(ends[0]), base::FileDescriptor(ends[1])};
}

/// What execve() wants, made before fork(): the child may not allocate.
class ExecBlock {
 public:
  explicit ExecBlock(const ChildOptions& options) : arguments_(options.command) {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string name(*entry, std::strcspn(*entry, "="));
      if (name != kOwnerVariable && !options.environment.contains(name)) variables_.emplace_back(*entry);
    }
    for (const auto& [name, value] : options.environment) variables_.push_back(fmt::format("{}={}", name, value));
    variables_.push_back(fmt::format("{}={}", kOwnerVariable, ProcessIdentity::own().to_string()));
    for (std::string& argument : arguments_) argument_pointers_.push_back(argument.data());
    for (std::string& variable : variables_) variable_pointers_.push_back(variable.data());
    argument_pointers_.push_back(nullptr);
    variable_pointers_.push_back(nullptr);
  }
  [[nodiscard]] char* const* arguments() const { return argument_pointers_.data(); }
  [[nodiscard]] char* const* environment() const { return variable_pointers_.data(); }

 private:
  std::vector<std::string> arguments_;
  std::vector<std::string> variables_;
  std::vector<char*> argument_pointers_;
  std::vector<char*> variable_pointers_;
};

/// The child between fork() and execve(): only calls that are safe after a fork of a threaded process. An errno in
/// `failure` says why there was no execve(); the pipe closes by itself when there was one.
[[noreturn]] void become(const ExecBlock& block, pid_t parent, int output, int errors, int failure) {
  begin_child(parent);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (dup2(nothing, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 && dup2(errors, STDERR_FILENO) >= 0) {
    execve(block.arguments()[0], block.arguments(), block.environment());
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t told = write(failure, &error, sizeof error);
  _exit(127);
}

}  // namespace

base::Result<std::string> own_program() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  if (length < 0) return base::fail_errno(errno, "find the own program");
  return std::string(path.data(), static_cast<std::size_t>(length));
}

base::Result<std::unique_ptr<ChildProgram>> ChildProgram::start(const ChildOptions& options, const Network& network) {
  auto output = make_pipe();
  auto errors = make_pipe();
  auto failure = make_pipe();
  if (!output || !errors || !failure) return base::fail(base::ErrorCode::kInternal, "no descriptors for pipes");
  const ExecBlock block(options);
  const pid_t parent = getpid();
  const auto forked = network.run([&]() -> base::Result<pid_t> {
    const pid_t pid = fork();
    if (pid == 0) become(block, parent, output->write_end.get(), errors->write_end.get(), failure->write_end.get());
    if (pid < 0) return base::fail_errno(errno, "fork");
    return pid;
  });
  if (!forked) return tl::unexpected(forked.error());
  auto child = std::unique_ptr<ChildProgram>(new ChildProgram);
  child->process_ = std::make_unique<ChildProcess>(*forked);
  child->stop_reading_ = base::FileDescriptor(eventfd(0, EFD_CLOEXEC));
  child->output_ = std::move(output->read_end);
  child->errors_ = std::move(errors->read_end);
  output->write_end.reset();
  errors->write_end.reset();
  failure->write_end.reset();
  int error = 0;
  if (::read(failure->read_end.get(), &error, sizeof error) == sizeof error) {
    return base::fail_errno(error, fmt::format("run {}", options.command.front()));
  }
  child->reader_ = std::thread([self = child.get()] { self->read_streams(); });
  return child;
}

ChildProgram::~ChildProgram() {
  process_.reset();
  eventfd_write(stop_reading_.get(), 1);
  if (reader_.joinable()) reader_.join();
}

void ChildProgram::read_streams() {
  std::string pending;
  pollfd watched[3] = {{output_.get(), POLLIN, 0}, {errors_.get(), POLLIN, 0}, {stop_reading_.get(), POLLIN, 0}};
  while (watched[0].fd >= 0 || watched[1].fd >= 0) {
    if (poll(watched, 3, -1) < 0) continue;
    if (watched[2].revents != 0) break;
    for (int stream : {0, 1}) {
      if (watched[stream].revents == 0) continue;
      std::array<char, 65'536> buffer;
      const ssize_t length = ::read(watched[stream].fd, buffer.data(), buffer.size());
      if (length <= 0) {
        watched[stream].fd = -1;
        continue;
      }
      const std::lock_guard lock(mutex_);
      (stream == 0 ? pending : error_text_).append(buffer.data(), static_cast<std::size_t>(length));
      if (stream == 0) take_output(pending);
    }
    const std::lock_guard lock(mutex_);
    has_ended_ = watched[0].fd < 0;
    changed_.notify_all();
  }
  const std::lock_guard lock(mutex_);
  has_ended_ = true;
  changed_.notify_all();
}

void ChildProgram::take_output(std::string& pending) {
  std::size_t begin = 0;
  for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n', begin)) {
    lines_.push_back({read_clock(), pending.substr(begin, end - begin)});
    begin = end + 1;
  }
  pending.erase(0, begin);
}

std::optional<OutputLine> ChildProgram::next_line(base::Instant deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [this] { return !lines_.empty() || has_ended_; });
  if (lines_.empty()) return std::nullopt;
  OutputLine line = std::move(lines_.front());
  lines_.pop_front();
  return line;
}

std::string ChildProgram::error_text() const {
  const std::lock_guard lock(mutex_);
  return error_text_;
}

}  // namespace tidewaiter::lab
