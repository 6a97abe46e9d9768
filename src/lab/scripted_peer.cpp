// SPDX-License-Identifier: Apache-2.0
#include "lab/scripted_peer.h"

#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lab/tun_device.h"

namespace tidewaiter::lab {
namespace {

constexpr std::uint32_t kSequence = 0x74696465;
constexpr std::uint16_t kFirstKnockingPort = 50'000;

/// The segment back, with the peer's numbers.
Segment back_to(const Segment& segment, std::uint8_t flags) {
  Segment back{segment.destination,  segment.source, segment.destination_port, segment.source_port, kSequence,
               segment.sequence + 1, flags};
  if ((flags & kTcpAck) == 0) back.acknowledgment = 0;
  return back;
}

std::optional<Unreachable> unreachable_of(Answer answer) {
  switch (answer) {
    case Answer::kNetworkUnreachable:
      return Unreachable::kNetwork;
    case Answer::kHostUnreachable:
      return Unreachable::kHost;
    case Answer::kProtocolUnreachable:
      return Unreachable::kProtocol;
    case Answer::kPortUnreachable:
      return Unreachable::kPort;
    case Answer::kProhibited:
      return Unreachable::kProhibited;
    default:
      return std::nullopt;
  }
}

/// What goes back; empty: nothing.
Packet answer_to(const Segment& syn, std::span<const std::uint8_t> packet, Answer kind) {
  if (const auto why = unreachable_of(kind)) return make_unreachable(packet, *why);
  switch (kind) {
    case Answer::kAccept:
      return make_packet(back_to(syn, kTcpSyn | kTcpAck));
    case Answer::kRefuse:
      return make_packet(back_to(syn, kTcpReset | kTcpAck));
    case Answer::kCrossAndReset:
      return make_packet(back_to(syn, kTcpSyn));
    default:
      return {};
  }
}

}  // namespace

base::Result<std::unique_ptr<ScriptedPeer>> ScriptedPeer::start(const Network& network, Script script) {
  auto device = make_tun_device(network, {{kOwn, 16}, {kOwnIpv6, 64}});
  if (!device) return tl::unexpected(device.error());
  auto peer = std::unique_ptr<ScriptedPeer>(new ScriptedPeer(std::move(script)));
  peer->device_ = std::move(*device);
  peer->stop_ = base::FileDescriptor(eventfd(0, EFD_CLOEXEC));
  peer->thread_ = std::thread([self = peer.get()] { self->serve(); });
  return peer;
}

ScriptedPeer::~ScriptedPeer() {
  eventfd_write(stop_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

base::Result<void> ScriptedPeer::knock(std::uint16_t port, std::uint16_t count) {
  for (std::uint16_t i = 0; i < count; ++i) {
    const auto from = static_cast<std::uint16_t>(kFirstKnockingPort + i);
    if (!send(make_packet({kHost, kOwn, from, port, kSequence, 0, kTcpSyn}))) {
      return base::fail_errno(errno, "write to the tun device");
    }
  }
  return {};
}

PeerCounts ScriptedPeer::counts(std::uint16_t port) const {
  const std::lock_guard lock(mutex_);
  const auto found = counts_.find(port);
  return found == counts_.end() ? PeerCounts{} : found->second;
}

void ScriptedPeer::serve() {
  std::array<std::uint8_t, 65'536> buffer;
  pollfd watched[2] = {{device_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  while (poll(watched, 2, -1) >= 0 || errno == EINTR) {
    if (watched[1].revents != 0) return;
    const ssize_t length = ::read(device_.get(), buffer.data(), buffer.size());
    if (length > 0) take(std::span<const std::uint8_t>(buffer).first(static_cast<std::size_t>(length)));
  }
}

void ScriptedPeer::take(std::span<const std::uint8_t> packet) {
  const auto segment = parse_segment(packet);
  if (!segment) return;
  const auto scripted = script_.find(segment->destination_port);
  const Answer kind = scripted == script_.end() ? Answer::kSilence : scripted->second;
  const bool is_syn = (segment->flags & (kTcpSyn | kTcpAck)) == kTcpSyn;
  Packet reply;
  if (is_syn) {
    reply = answer_to(*segment, packet, kind);
  } else if (kind == Answer::kCrossAndReset && (segment->flags & kTcpReset) == 0) {
    Segment reset = back_to(*segment, kTcpReset);
    reset.sequence = segment->acknowledgment;
    reply = make_packet(reset);
  }
  const bool is_sent = !reply.empty() && send(reply);
  const std::lock_guard lock(mutex_);
  PeerCounts& counts = counts_[segment->destination_port];
  ++(is_syn ? counts.syns : counts.others);
  if (is_sent) ++counts.answers;
}

bool ScriptedPeer::send(const Packet& packet) const {
  return ::write(device_.get(), packet.data(), packet.size()) == static_cast<ssize_t>(packet.size());
}

}  // namespace tidewaiter::lab
