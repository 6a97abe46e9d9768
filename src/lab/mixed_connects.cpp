// SPDX-License-Identifier: Apache-2.0
#include "lab/mixed_connects.h"

#include <cerrno>
#include <fmt/format.h>
#include <sys/socket.h>

#include "lab/child_process.h"
#include "lab/clock.h"
#include "lab/outcome_counts.h"

namespace tidewaiter::lab {
namespace {

using telemetry::Address;

constexpr std::uint32_t kTurns = 100;
constexpr std::uint16_t kFirstPort = 21'000;
constexpr Address kLoopback = Address::v4(0x7f000001);
constexpr Address kLost = Address::v4(0x0ac40002);  // no route goes there

constexpr std::size_t place(MixedKind kind) { return static_cast<std::size_t>(kind); }

/// What the client sees, and its name in a tally.
struct End {
  int error;
  const char* name;
};
constexpr std::array<End, kMixedKinds.size()> kEnds{{{0, "established"},
                                                     {ECONNREFUSED, "refused"},
                                                     {EADDRNOTAVAIL, "addr_not_available"},
                                                     {EHOSTUNREACH, "unreachable"},
                                                     {ENETUNREACH, "pre_syn"}}};

using Counts = std::vector<OutcomeCounts>;  // by kind

void connect_all(std::uint32_t connects, Counts& counts) {
  std::array<SocketAddress, kMixedKinds.size()> to;
  for (const MixedKind kind : kMixedKinds) to[place(kind)] = socket_address(mixed_destination(kind));
  for (std::uint32_t turn = 0; turn < connects; ++turn) {
    const std::size_t kind = place(mixed_kind(turn));
    base::FileDescriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
    counts[kind].add(::connect(socket.get(), to[kind].get(), to[kind].length) == 0 ? 0 : errno);
    close_by_reset(std::move(socket));
  }
}

/// Takes every port for the destination that is to have none.
base::Result<std::vector<base::FileDescriptor>> take_ports(std::uint32_t ports) {
  const Endpoint destination = mixed_destination(MixedKind::kExhausted);
  const SocketAddress to = socket_address(destination);
  std::vector<base::FileDescriptor> held;
  for (std::uint32_t i = 0; i < ports; ++i) {
    held.push_back(open_socket(destination, 0));
    if (::connect(held.back().get(), to.get(), to.length) != 0) return base::fail_errno(errno, "take every port");
  }
  return held;
}

base::Result<Tally> tally_of(MixedKind kind, const ErrorCounts& seen, const MixedOptions& options) {
  const End end = kEnds[place(kind)];
  const auto found = seen.find(end.error);
  if (seen.size() != 1 || found == seen.end()) {
    return base::fail(base::ErrorCode::kUnavailable,
                      fmt::format("of connects that were to be {} the clients saw {}", end.name, to_string(seen)));
  }
  const std::uint64_t held = kind == MixedKind::kExhausted ? options.ports : 0;
  Tally tally{{"attempts", found->second + held}};
  tally[end.name] = found->second;
  if (held != 0) tally["established"] = held;
  // Each process's first failure answers none.
  const bool is_recognised = kind != MixedKind::kEstablished && kind != MixedKind::kLost;
  if (is_recognised) tally["retries"] = found->second - options.processes;
  return tally;
}

}  // namespace

MixedKind mixed_kind(std::uint32_t turn) {
  switch (turn % kTurns) {
    case 19:
    case 59:
      return MixedKind::kRefused;
    case 39:
      return MixedKind::kExhausted;
    case 79:
      return MixedKind::kUnreachable;
    case 99:
      return MixedKind::kLost;
    default:
      return MixedKind::kEstablished;
  }
}

Endpoint mixed_destination(MixedKind kind) {
  const auto port = static_cast<std::uint16_t>(kFirstPort + place(kind));
  if (kind == MixedKind::kUnreachable) return {ScriptedPeer::kHost, port};
  return {kind == MixedKind::kLost ? kLost : kLoopback, port};
}

void add_mixed_script(ScriptedPeer::Script& script) {
  script[mixed_destination(MixedKind::kUnreachable).port] = Answer::kHostUnreachable;
}

Address mixed_source(MixedKind kind) {
  if (kind == MixedKind::kLost) return {};
  return kind == MixedKind::kUnreachable ? ScriptedPeer::kOwn : kLoopback;
}

base::Result<MixedResult> connect_mixed(const Network& network, const MixedOptions& options, base::Instant deadline) {
  const auto server = EchoServer::start(network, mixed_destination(MixedKind::kEstablished));
  const auto full = EchoServer::start(network, mixed_destination(MixedKind::kExhausted));
  if (!server || !full) return tl::unexpected(!server ? server.error() : full.error());
  const auto held = network.run([&] { return take_ports(options.ports); });
  if (!held) return tl::unexpected(held.error());
  Counts counts;
  for (std::size_t i = 0; i < kMixedKinds.size(); ++i) {
    auto made = OutcomeCounts::create();
    if (!made) return tl::unexpected(made.error());
    counts.push_back(std::move(*made));
  }
  MixedResult result;
  const base::Instant began = read_clock();
  std::vector<std::unique_ptr<ChildProcess>> processes;
  for (std::uint32_t i = 0; i < options.processes; ++i) {
    auto process = fork_inside(network, [&] { connect_all(options.connects, counts); });
    if (!process) return tl::unexpected(process.error());
    processes.push_back(std::move(*process));
  }
  for (const auto& process : processes) {
    if (!process->wait_exit(deadline)) {
      return base::fail(base::ErrorCode::kUnavailable, "the clients did not end in time");
    }
  }
  result.took = read_clock() - began;
  for (const MixedKind kind : kMixedKinds) {
    auto tally = tally_of(kind, counts[place(kind)].read(), options);
    if (!tally) return tl::unexpected(tally.error());
    result.clients[kind] = std::move(*tally);
  }
  return result;
}

}  // namespace tidewaiter::lab
