// SPDX-License-Identifier: Apache-2.0
#include "lab/child_process.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/clock.h"
#include "lab/pidfd.h"

namespace tidewaiter::lab {

std::string ExitStatus::to_string() const {
  return signal != 0 ? fmt::format("ended by signal {}", signal) : fmt::format("exit code {}", code);
}

ChildProcess::ChildProcess(pid_t pid) : pid_(pid), process_(open_process(pid)) {}

ChildProcess::~ChildProcess() {
  if (exit_) return;
  kill(-pid_, SIGKILL);  // what it started itself too. The id is ours until waitpid()
  kill(pid_, SIGKILL);   // if it had not come to lead its group
  waitpid(pid_, nullptr, 0);
}

base::Result<void> ChildProcess::send_signal(int signal) {
  if (signal_process(process_, signal) != 0) {
    return base::fail_errno(errno, fmt::format("send signal {} to process {}", signal, pid_));
  }
  return {};
}

std::optional<ExitStatus> ChildProcess::wait_exit(base::Instant deadline) {
  while (!exit_) {
    const auto left = std::chrono::ceil<base::Milliseconds>(deadline - read_clock()).count();
    pollfd watched{process_.get(), POLLIN, 0};
    const int ready = poll(&watched, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX)));
    if (ready == 0) return std::nullopt;
    int status = 0;
    if (ready < 0 || waitpid(pid_, &status, 0) != pid_) continue;
    exit_ = WIFSIGNALED(status) ? ExitStatus{0, WTERMSIG(status)} : ExitStatus{WEXITSTATUS(status), 0};
  }
  return exit_;
}

void begin_child(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent went before it could be told about
  setpgid(0, 0);                        // Ctrl-C in the terminal is for the lab to pass on
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

base::Result<std::unique_ptr<ChildProcess>> fork_inside(const Network& network, const std::function<void()>& work) {
  const pid_t parent = getpid();
  const auto forked = network.run([&]() -> base::Result<pid_t> {
    const pid_t pid = fork();
    if (pid == 0) {
      begin_child(parent);
      close_range(STDERR_FILENO + 1, UINT_MAX, 0);
      work();
      _exit(0);
    }
    if (pid < 0) return base::fail_errno(errno, "fork");
    return pid;
  });
  if (!forked) return tl::unexpected(forked.error());
  return std::make_unique<ChildProcess>(*forked);
}

}  // namespace tidewaiter::lab
