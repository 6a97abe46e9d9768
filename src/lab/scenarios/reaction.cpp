// SPDX-License-Identifier: Apache-2.0
//
// How long it takes from a connect that fails for a local reason to the changed state in the parameter block, at an
// agent that looks once a second.
#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <sys/socket.h>
#include <vector>

#include "board/attachment.h"
#include "lab/clock.h"
#include "lab/scenarios/all.h"
#include "lab/stage.h"
#include "lab/watch.h"

namespace tidewaiter::lab {
namespace {

constexpr std::uint32_t kTrials = 30;
constexpr std::uint16_t kServed = 9'200;
constexpr std::uint16_t kBound = 30'000;  // out of the client's range
constexpr base::Nanoseconds kKnown = base::Seconds(3);
constexpr base::Nanoseconds kApart = base::Milliseconds(130);  // trials meet every part of the agent's second
constexpr base::Nanoseconds kGiveUp = base::Seconds(2);
constexpr base::Nanoseconds kBar = base::Milliseconds(5);

/// A destination of its own for each trial: 127.0.1.1 and on, served by one server for all addresses.
Endpoint destination(std::uint32_t trial) { return {telemetry::Address::v4(0x7f000101 + trial), kServed}; }

/// Connects from the bound port: 0, or errno. With a connection from there already it is EADDRNOTAVAIL.
int connect_from_bound_port(const Endpoint& to, base::FileDescriptor& socket) {
  socket = open_socket(to, 0);
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const SocketAddress from = socket_address({telemetry::Address::v4(0x7f000001), kBound});
  const SocketAddress address = socket_address(to);
  if (::bind(socket.get(), from.get(), from.length) != 0) return errno;
  return ::connect(socket.get(), address.get(), address.length) == 0 ? 0 : errno;
}

/// The state of a destination in the block; GREEN while it is not there.
class BlockView {
 public:
  BlockView(const board::ParameterBlockReader& block, const Endpoint& to) : block_(block) {
    const auto source = telemetry::Address::v4(0x7f000001).bytes();
    std::copy(source.begin(), source.end(), key_.source);
    std::copy(to.address.bytes().begin(), to.address.bytes().end(), key_.destination);
    key_.netns_hash = tw_netns_hash("self");
    key_.port = to.port;
  }

  [[nodiscard]] int state(base::Instant now) {
    if (!slot_) slot_ = block_.find(key_);
    if (!slot_) return TW_GREEN;
    const auto freshness = block_.read(*slot_, key_, now, record_);
    if (freshness == board::Freshness::kAbsent) slot_.reset();
    return freshness == board::Freshness::kLive ? record_.state : int{TW_GREEN};
  }

 private:
  const board::ParameterBlockReader& block_;
  tw_tuple key_{};
  tw_record record_{};
  std::optional<board::Slot> slot_;
};

struct Trial {
  int error = 0;         ///< that the client saw
  int state_before = 0;  ///< in the block
  std::optional<base::Nanoseconds> took;
};

/// Inside the client's network. Reads the block without a pause.
base::Result<Trial> fail_once(const board::ParameterBlockReader& block, const Endpoint& to) {
  Trial trial;
  BlockView view(block, to);
  trial.state_before = view.state(read_clock());
  base::FileDescriptor socket;
  const base::Instant failed = read_clock();
  trial.error = connect_from_bound_port(to, socket);
  for (base::Instant now = failed; now < failed + kGiveUp; now = read_clock()) {
    if (view.state(now) < TW_ORANGE) continue;
    trial.took = read_clock() - failed;
    break;
  }
  return trial;
}

/// A connection to each destination, so that the agent knows them and the bound port is taken.
base::Result<std::vector<base::FileDescriptor>> connect_to_all(const Network& network) {
  return network.run([]() -> base::Result<std::vector<base::FileDescriptor>> {
    std::vector<base::FileDescriptor> sockets(kTrials);
    for (std::uint32_t i = 0; i < kTrials; ++i) {
      if (const int error = connect_from_bound_port(destination(i), sockets[i]); error != 0) {
        return base::fail_errno(error, "connect from a bound port");
      }
    }
    return sockets;
  });
}

void expect_reaction(Context& context, const std::vector<Trial>& trials) {
  const auto as_planned = std::count_if(trials.begin(), trials.end(), [](const Trial& trial) {
    return trial.error == EADDRNOTAVAIL && trial.state_before == TW_GREEN;
  });
  context.expect("trials: a connect fails with EADDRNOTAVAIL, its destination GREEN in the block before", "30 of 30",
                 fmt::format("{} of {}", as_planned, trials.size()), as_planned == kTrials);
  std::vector<double> times_ms;
  for (const Trial& trial : trials) {
    if (trial.took) times_ms.push_back(to_seconds(*trial.took) * 1e3);
  }
  std::sort(times_ms.begin(), times_ms.end());
  context.expect("trials after which the block says ORANGE or worse", "30 of 30",
                 fmt::format("{} of {}", times_ms.size(), trials.size()), times_ms.size() == kTrials);
  if (times_ms.empty()) return;
  const double median_ms = times_ms[times_ms.size() / 2];
  context.tell("reaction",
               fmt::format("{:.2f} ms at best, {:.2f} ms in the middle, {:.2f} ms at worst", times_ms.front(),
                           median_ms, times_ms.back()),
               {{"times_ms", times_ms}});
  context.expect("from the failing connect() to the changed block, median", "at most 5 ms",
                 fmt::format("{:.2f} ms", median_ms), median_ms <= to_seconds(kBar) * 1e3);
}

base::Result<void> run(Context& context) {
  auto stage = Stage::set(context);
  if (!stage) return tl::unexpected(stage.error());
  const Network& network = stage->topology().client();
  Watch watch(context, stage->agent(), kServed);
  const bool sees_connects = watch.windows().back().connects.has_value();
  context.expect("the agent sees connects", "active", watch.windows().back().connect_source(), sees_connects);
  if (!sees_connects) return {};
  const auto server = EchoServer::start(network, {telemetry::Address::v4(0), kServed});
  if (!server) return tl::unexpected(server.error());
  const auto held = connect_to_all(network);
  if (!held) return tl::unexpected(held.error());
  const auto reader = board::attach((stage->agent_options().state_directory / "agent.sock").string());
  if (!reader) return base::wrap(reader.error(), "attach to the agent");
  if (auto done = watch.follow(read_clock() + kKnown); !done || !*done) {
    return done ? base::Result<void>() : tl::unexpected(done.error());
  }
  context.tell("trials", "a connect fails for lack of a port, thirty times, each to a destination that was GREEN");
  std::vector<Trial> trials;
  for (std::uint32_t i = 0; i < kTrials; ++i) {
    auto trial = network.run([&] { return fail_once(reader->block, destination(i)); });
    if (!trial) return tl::unexpected(trial.error());
    trials.push_back(*trial);
    if (!context.wait_until(read_clock() + kApart)) return {};
  }
  expect_reaction(context, trials);
  return stage->agent().stop();
}

}  // namespace

const Scenario kReaction{"reaction", "A connect that fails here changes the parameter block within 5 ms",
                         base::Seconds(10), run};

}  // namespace tidewaiter::lab
