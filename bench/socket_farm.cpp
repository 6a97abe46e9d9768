// SPDX-License-Identifier: Apache-2.0
#include "bench/socket_farm.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "kernel/census.h"
#include "telemetry/address.h"

namespace tidewaiter::bench {
namespace {

namespace net = kernel::testing;

constexpr int kBacklog = 128;
constexpr std::size_t kConnectionsPerHolder = 8'000;  // two descriptors each
constexpr int kAttempts = 3;
constexpr base::Nanoseconds kFreshFor = base::Seconds(25);  // of the 60 s; the rest is for the measurement

telemetry::Address destination(std::size_t index) {
  return telemetry::Address::v4(0x7f000001U + static_cast<std::uint32_t>(index % SocketFarm::kDestinations));
}

struct Connection {
  base::FileDescriptor client;
  base::FileDescriptor server;
};

base::Result<Connection> connect_one(const base::FileDescriptor& listener, std::size_t index) {
  auto client = net::connect_to(destination(index), SocketFarm::kPort);
  if (!client) return base::wrap(client.error(), fmt::format("connection {}", index));
  auto server = net::accept_from(listener);
  if (!server) return base::wrap(server.error(), fmt::format("connection {}", index));
  return Connection{std::move(*client), std::move(*server)};
}

void reset_on_close(const base::FileDescriptor& socket) {
  const linger now{1, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/// A child process that runs `work` with the writing end of a pipe, and the reading end for the parent.
struct Child {
  pid_t process = -1;
  base::FileDescriptor answer;
};

template <class Work>
base::Result<Child> start_child(Work&& work) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) return base::fail_errno(errno, "make a pipe");
  Child child{-1, base::FileDescriptor(ends[0])};
  const base::FileDescriptor sink(ends[1]);
  const pid_t parent = getpid();
  child.process = fork();
  if (child.process < 0) return base::fail_errno(errno, "fork");
  if (child.process == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) work(sink);
    _exit(0);
  }
  return child;
}

/// False when the child ended without an answer.
template <class Value>
bool read_answer(const Child& child, Value& value) {
  return ::read(child.answer.get(), &value, sizeof value) == static_cast<ssize_t>(sizeof value);
}

void reap(pid_t process) {
  while (waitpid(process, nullptr, 0) < 0 && errno == EINTR) {
  }
}

base::Result<Population> count_here() {
  auto self = kernel::NetworkNamespace::open("self");
  if (!self) return tl::unexpected(self.error());
  kernel::LookOptions options;
  options.depth = kernel::LookDepth::kFull;
  options.method = kernel::LookMethod::kSockDiag;  // lists every socket, the listener's too
  kernel::Census census(std::move(*self), options);
  const auto sample = census.look({std::chrono::steady_clock::now(), std::chrono::system_clock::now()});
  if (!sample) return tl::unexpected(sample.error());
  return Population{sample->cost.sockets, sample->in_range_time_wait};
}

}  // namespace

base::Result<SocketFarm> SocketFarm::build(std::size_t sockets, Mix mix) {
  net::allow_many_descriptors();
  SocketFarm farm(sockets, mix);
  if (auto filled = farm.fill(); !filled) return tl::unexpected(filled.error());
  return farm;
}

SocketFarm::SocketFarm(SocketFarm&& other) noexcept
    : sockets_(other.sockets_),
      time_waits_(other.time_waits_),
      network_(std::move(other.network_)),
      listener_(std::move(other.listener_)),
      holders_(std::exchange(other.holders_, {})),
      filled_at_(other.filled_at_) {
  other.network_.reset();
}

SocketFarm::~SocketFarm() { empty(); }

void SocketFarm::empty() {
  for (const pid_t holder : holders_) kill(holder, SIGKILL);
  for (const pid_t holder : holders_) reap(holder);
  holders_.clear();
  listener_.reset();
  network_.reset();
}

base::Result<void> SocketFarm::fill() {
  empty();
  progress(fmt::format("making {} sockets", sockets_));
  auto network = net::PrivateNetwork::create();
  if (!network) return tl::unexpected(network.error());
  network_.emplace(std::move(*network));
  for (const auto& [name, value] : {std::pair{"net/ipv4/tcp_tw_reuse", "0"},
                                    {"net/ipv4/tcp_max_tw_buckets", "1000000"},
                                    {"net/ipv4/ip_local_port_range", "32768 60999"}}) {
    if (auto done = network_->set(name, value); !done) return done;
  }
  auto listener = net::listen_on(telemetry::Address::v4(0), kPort, kBacklog);
  if (!listener) return tl::unexpected(listener.error());
  listener_ = std::move(*listener);

  const std::size_t connections = (sockets_ - time_waits_) / 2;
  for (std::size_t first = 0; first < connections; first += kConnectionsPerHolder) {
    const std::size_t share = std::min(kConnectionsPerHolder, connections - first);
    if (auto done = start_holder(listener_, first, share); !done) return done;
  }
  filled_at_ = std::chrono::steady_clock::now();  // from here on TIME_WAITs run
  return leave_time_waits(listener_);
}

base::Result<void> SocketFarm::leave_time_waits(const base::FileDescriptor& listener) const {
  for (std::size_t i = 0; i < time_waits_; ++i) {
    auto connection = connect_one(listener, i);
    if (!connection) return base::wrap(connection.error(), "leave TIME_WAITs");
    connection->client.reset();  // who closes first keeps the TIME_WAIT
    connection->server.reset();
  }
  return {};
}

base::Result<void> SocketFarm::start_holder(const base::FileDescriptor& listener, std::size_t first,
                                            std::size_t connections) {
  auto child = start_child([&](const base::FileDescriptor& sink) {
    std::vector<Connection> held;
    int error = 0;
    for (std::size_t i = first; i < first + connections && error == 0; ++i) {
      auto connection = connect_one(listener, i);
      if (!connection) {
        error = connection.error().system_errno;
        break;
      }
      reset_on_close(connection->client);
      reset_on_close(connection->server);
      held.push_back(std::move(*connection));
    }
    if (::write(sink.get(), &error, sizeof error) != sizeof error || error != 0) return;
    while (true) pause();
  });
  if (!child) return tl::unexpected(child.error());
  holders_.push_back(child->process);
  int error = 0;
  if (!read_answer(*child, error)) return base::fail(base::ErrorCode::kInternal, "a holder of connections died");
  if (error != 0) return base::fail_errno(error, "hold connections");
  return {};
}

base::Result<Population> SocketFarm::count() {
  struct Answer {
    Population population;
    bool is_known = false;
  };
  auto child = start_child([](const base::FileDescriptor& sink) {
    const auto population = count_here();
    const Answer answer{population.value_or(Population{}), population.has_value()};
    [[maybe_unused]] const ssize_t written = ::write(sink.get(), &answer, sizeof answer);
  });
  if (!child) return tl::unexpected(child.error());
  Answer answer;
  const bool answered = read_answer(*child, answer);
  reap(child->process);
  if (!answered || !answer.is_known)
    return base::fail(base::ErrorCode::kUnavailable, "the sockets could not be counted");
  return answer.population;
}

base::Result<bool> SocketFarm::is_full() const {
  const auto population = count();
  if (!population) return tl::unexpected(population.error());
  const auto is_near = [](std::size_t is, std::size_t should) {
    return is * 100 >= should * 99 && is * 100 <= should * 101;
  };
  return is_near(population->all, sockets_) && is_near(population->time_wait, time_waits_);
}

base::Result<void> SocketFarm::measure(const std::function<base::Result<void>()>& work) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto before = is_full();
    if (!before) return tl::unexpected(before.error());
    const bool is_fresh = time_waits_ == 0 || std::chrono::steady_clock::now() - filled_at_ <= kFreshFor;
    if (!*before || !is_fresh) {
      if (auto filled = fill(); !filled) return filled;
      const auto refilled = is_full();
      if (!refilled) return tl::unexpected(refilled.error());
      if (!*refilled) continue;
    }
    if (auto done = work(); !done) return done;
    const auto after = is_full();
    if (!after) return tl::unexpected(after.error());
    if (*after) return {};
    progress("TIME_WAITs ran out during the measurement; again");
  }
  return base::fail(base::ErrorCode::kUnavailable,
                    fmt::format("fewer than 99 % of {} sockets were there, {} times", sockets_, kAttempts));
}

void measure_rows(SocketFarm& farm, Report& report, const std::string& what,
                  const std::function<base::Result<std::vector<Row>>()>& work) {
  progress(what);
  std::vector<Row> rows;
  const auto done = farm.measure([&]() -> base::Result<void> {
    auto measured = work();
    if (!measured) return tl::unexpected(measured.error());
    rows = std::move(*measured);
    return {};
  });
  if (!done) return report.skip(what, done.error());
  for (const Row& row : rows) report.add(row);
}

}  // namespace tidewaiter::bench
