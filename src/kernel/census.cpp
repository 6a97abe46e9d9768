// SPDX-License-Identifier: Apache-2.0
#include "kernel/census.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/stopwatch.h"
#include "kernel/host.h"

namespace tidewaiter::kernel {
namespace {

using telemetry::LookSource;
using telemetry::TcpState;

constexpr StateMask kListening(TcpState::kListen);
constexpr StateMask kConnections(TcpState::kEstablished, TcpState::kSynSent, TcpState::kSynReceived,
                                 TcpState::kFinWait1, TcpState::kFinWait2, TcpState::kTimeWait, TcpState::kCloseWait,
                                 TcpState::kLastAck, TcpState::kClosing);
// Kernels before 6.8 pass over the last one and list no bound idle socket.
constexpr StateMask kConnectionsAndBound = kConnections | StateMask(TcpState::kBoundInactive);

constexpr base::Nanoseconds kRememberListener = base::Seconds(125);
constexpr unsigned kUsualHz = 250;
constexpr KernelVersion kListsBoundIdle{6, 8, 0};
constexpr const char* kBoundIdleField = "range.locked.bound";

/// SYN_RECV sockets, for the listener that they knock at.
class HalfOpenRows final : public telemetry::RowSink {
 public:
  explicit HalfOpenRows(telemetry::ListenerBuilder& listeners) : listeners_(listeners) {}
  void on_row(const telemetry::SocketRow& row) override { listeners_.add_half_open(row); }
  void on_restart() override { listeners_.expect_half_open(); }

 private:
  telemetry::ListenerBuilder& listeners_;
};

/// Connections that wait for accept().
class WaitingRows final : public telemetry::RowSink {
 public:
  explicit WaitingRows(telemetry::ListenerBuilder& listeners) : listeners_(listeners) {}
  void on_row(const telemetry::SocketRow& row) override { listeners_.add_waiting(row); }
  void on_restart() override { listeners_.forget_waiting(); }

 private:
  telemetry::ListenerBuilder& listeners_;
};

/// Bound idle sockets, which the iterator does not show. Seeing some of them twice changes nothing.
class BoundIdleRows final : public telemetry::RowSink {
 public:
  explicit BoundIdleRows(telemetry::CensusBuilder& builder) : builder_(builder) {}
  void on_row(const telemetry::SocketRow& row) override { builder_.on_row(row); }
  void on_restart() override {}

 private:
  telemetry::CensusBuilder& builder_;
};

/// About how many sockets the namespace has; TIME_WAITs are counted, half-open connections are not.
std::uint64_t sockets_of(const Counters& counters) {
  const auto sockets = counters.get("TCP.inuse").value_or(0) + counters.get("TCP.tw").value_or(0) +
                       counters.get("TCP6.inuse").value_or(0);
  return static_cast<std::uint64_t>(std::max<std::int64_t>(sockets, 0));
}

bool lists_bound_idle() {
  const auto version = running_kernel();
  return version && *version >= kListsBoundIdle;
}

/// Listeners' ports that no tuple can use, as far as a filter can name them.
std::vector<std::uint16_t> ports_to_leave_out(const telemetry::PortSet& listening,
                                              const telemetry::PortSettings& settings) {
  std::vector<std::uint16_t> ports;
  for (std::uint32_t port = 1; port < telemetry::PortSet::kPorts; ++port) {
    if (!listening.test(port) || (port >= settings.lo && port <= settings.hi)) continue;
    ports.push_back(static_cast<std::uint16_t>(port));
    if (ports.size() > kMaximumFilterPorts) return {};
  }
  return ports;
}

/// Kernel, settings and counters of the namespace, and which of them this look does not know.
void describe(const NetworkSettings& settings, const NetworkCounters& counters, telemetry::Sample& sample) {
  const auto version = running_kernel();
  sample.kernel = {version ? version->to_string() : "", kernel_hz()};
  sample.settings = settings.numbers();
  sample.counters = handshake_counters(counters.values);
  for (const char* name : {"ip_local_reserved_ports", "tcp_tw_reuse", "tcp_timestamps"}) {
    if (const auto reason = settings.absent.find(name); reason != settings.absent.end()) sample.absent.insert(*reason);
  }
  for (const char* file : {"snmp", "netstat"}) {
    if (const auto reason = counters.absent.find(file); reason != counters.absent.end()) {
      sample.absent.emplace(fmt::format("counters.{}", file), reason->second);
    }
  }
  if (version && *version < kListsBoundIdle) {
    sample.absent.emplace(kBoundIdleField, "this kernel does not list bound idle sockets (Linux 6.8 does)");
  }
}

/// Errors: what it would need.
base::Result<SocketIterator> load_iterator(LookMethod method) {
  if (method == LookMethod::kSockDiag) {
    return base::fail(base::ErrorCode::kUnavailable, "look.method other than sock_diag");
  }
  const auto version = running_kernel();
  if (method == LookMethod::kAutomatic && !(version && shows_each_once(*version))) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "Linux 6.17 or later: before that a walk may show a socket twice, or none");
  }
  return SocketIterator::load();
}

}  // namespace

SourceRow iterator_source(const LookOptions& options) {
  const auto loaded = load_iterator(options.method);
  // It tells what sock_diag tells: the tier is the same.
  return {"bpf_iter", 0, loaded.has_value(), loaded ? "" : loaded.error().message()};
}

std::vector<base::Setting> settings_of(LookOptions& options) {
  return {
      {"look.full_up_to_sockets", "sockets",
       "Sockets of a namespace up to which a look walks everything. Beyond it, connections of listening ports outside "
       "the range are left out in the kernel, half-open counts are taken only while an accept queue waits, and bound "
       "idle sockets are not looked for.",
       base::Setting::Whole{&options.full_up_to_sockets, 0, 10'000'000}},
      {"look.events", "",
       "Beyond that size, whether socket events keep the census up to date between dumps, where BPF allows it.",
       base::Setting::choice(options.events, {"automatic", "off"})},
      {"look.reconcile_every", "", "How often a dump puts right what events keep.",
       base::Setting::Duration{&options.reconcile_every, base::Seconds(1), base::Seconds(600)}},
      {"look.method", "",
       "What lists the connections where a look or a dump does: sock_diag, a BPF iterator (CAP_BPF, CAP_PERFMON; never "
       "beside events), or automatically the iterator for large namespaces without events where it is permitted, shows "
       "each socket exactly once (Linux 6.17) and has proven cheaper in "
       "trials now and then.",
       base::Setting::choice(options.method, {"automatic", "sock_diag", "iterator"})}};
}

Census::Census(NetworkNamespace network_namespace, LookOptions options, std::optional<SocketChanges> changes)
    : namespace_(std::move(network_namespace)), options_(options) {
  if (!changes || options.depth == LookDepth::kFull || options.events == EventUse::kOff) return;
  if (options.method == LookMethod::kIterator) return;
  events_.emplace(std::move(*changes), kernel_hz().value_or(kUsualHz), options.reconcile_every);
}

void Census::drain() {
  if (events_) events_->drain();
}

std::optional<int> Census::descriptor() const { return events_ ? std::optional(events_->descriptor()) : std::nullopt; }

void Census::watch(NetworkNamespace network_namespace) {
  namespace_ = std::move(network_namespace);
  last_listening_.clear();
  socket_.reset();
  if (events_) events_->stop();
}

base::Result<telemetry::Sample> Census::look(base::Moment now) {
  if (!namespace_.is_still_there()) {
    return base::fail(base::ErrorCode::kUnavailable, fmt::format("network namespace '{}' has gone", namespace_.label()),
                      "it was deleted, or another one took its name");
  }
  const base::Stopwatch wall;
  const base::CpuStopwatch cpu;
  auto sample = namespace_.run([&] { return look_inside(now); });
  if (!sample) {
    socket_.reset();
    return base::wrap(std::move(sample).error(), fmt::format("census of '{}'", namespace_.label()));
  }
  sample->cost.wall = wall.elapsed();
  sample->cost.cpu = cpu.elapsed();
  return sample;
}

bool Census::is_full_look(std::uint64_t sockets, telemetry::Sample& sample) const {
  const std::uint64_t up_to = events_ && events_->is_running()
                                  ? options_.full_up_to_sockets * 4 / 5  // to and fro costs
                                  : options_.full_up_to_sockets;
  if (options_.depth == LookDepth::kFull || sockets <= up_to) return true;
  sample.absent.emplace(kBoundIdleField, fmt::format("ports of bound idle sockets are not looked for above {} sockets; "
                                                     "a full look does",
                                                     options_.full_up_to_sockets));
  return false;
}

SocketIterator* Census::iterator() {
  if (iterator_) return &*iterator_;
  if (!iterator_needs_.empty()) return nullptr;
  if (auto loaded = load_iterator(options_.method); loaded) {
    iterator_.emplace(std::move(*loaded));
  } else {
    iterator_needs_ = loaded.error().message();
  }
  return iterator_ ? &*iterator_ : nullptr;
}

base::Result<LookSource> Census::source_of_look(std::uint64_t sockets) {
  switch (options_.method) {
    case LookMethod::kSockDiag:
      break;
    case LookMethod::kAutomatic:
      // In a small namespace there is nothing to win, and beside events little.
      if (events_ || sockets <= options_.full_up_to_sockets || choice_.next() == LookSource::kSockDiag) break;
      if (iterator() != nullptr) return LookSource::kIterator;
      break;
    case LookMethod::kIterator:
      if (iterator() != nullptr) return LookSource::kIterator;
      return base::fail(base::ErrorCode::kUnavailable,
                        fmt::format("the iterator over sockets needs {}", iterator_needs_),
                        "look.method = \"sock_diag\"");
  }
  return LookSource::kSockDiag;
}

void Census::learn(base::Nanoseconds cpu, std::uint64_t sockets, telemetry::Sample& sample) {
  walk_cpu_[sample.source] = cpu;
  sample.cost.walk_cpu = walk_cpu_;
  if (options_.method != LookMethod::kAutomatic || sockets <= options_.full_up_to_sockets) return;
  if (sample.source == choice_.next()) choice_.observe(cpu, sockets);
  if (!choice_.needs_iterator()) iterator_.reset();
}

base::Result<void> Census::walk(const telemetry::PortSettings& settings, bool is_full,
                                telemetry::ListenerBuilder& listeners, telemetry::CensusBuilder& builder,
                                telemetry::Sample& sample) {
  listeners.expect_half_open();
  const auto walked = iterator()->walk(settings, listeners.listener_ports(), builder);
  if (!walked) return tl::unexpected(walked.error());
  builder.add_left_out(walked->left_out_in_range, walked->left_out_in_range_mini);
  sample.cost.sockets += walked->rows;
  sample.cost.kernel += walked->kernel;
  if (is_full && lists_bound_idle()) {
    BoundIdleRows bound(builder);
    const DiagRequest idle{StateMask(TcpState::kBoundInactive), DiagExtension::kNone, {}, {}};
    if (auto done = dump(idle, bound, sample.cost); !done) return done;
  }
  builder.finish(sample);
  return {};
}

base::Result<void> Census::dump_connections(const telemetry::PortSettings& settings, bool is_full,
                                            const telemetry::ListenerBuilder& listeners, telemetry::RowSink& sink,
                                            telemetry::LookCost& cost) {
  DiagRequest everything{is_full ? kConnectionsAndBound : kConnections, DiagExtension::kNone, {}, {}};
  if (!is_full) everything.except_ports = ports_to_leave_out(listeners.listener_ports(), settings);
  ++cost.passes;
  return dump(everything, sink, cost);
}

base::Result<void> Census::look_by_walk(const telemetry::PortSettings& settings, bool is_full,
                                        telemetry::ListenerBuilder& listeners, telemetry::Sample& sample) {
  telemetry::CensusBuilder builder(settings, listeners);
  if (sample.source == LookSource::kIterator) {
    ++sample.cost.passes;
    if (auto done = walk(settings, is_full, listeners, builder, sample); !done) return done;
    if (sample.cost.repeated == 0 || options_.method != LookMethod::kAutomatic) return {};
    return base::fail(base::ErrorCode::kUnavailable, "a walk showed a socket twice");
  }
  if (is_full) listeners.expect_half_open();
  if (auto done = dump_connections(settings, is_full, listeners, builder, sample.cost); !done) return done;
  builder.finish(sample);
  return look_at_queues(is_full, listeners, sample);
}

base::Result<telemetry::Sample> Census::without_iterator(const base::Error& error, base::Moment now) {
  if (options_.method == LookMethod::kIterator) return tl::unexpected(error);
  iterator_.reset();
  iterator_needs_ = fmt::format("a restart: {}", error.message());
  return look_inside(now);
}

base::Result<void> Census::dump(const DiagRequest& request, telemetry::RowSink& sink, telemetry::LookCost& cost) {
  const auto dumped = socket_->dump(request, sink);
  if (!dumped) return tl::unexpected(dumped.error());
  cost.sockets += dumped->rows;
  cost.interrupted += dumped->restarts;
  cost.kernel += dumped->kernel;
  return {};
}

base::Result<void> Census::look_at_queues(bool half_open_counted, telemetry::ListenerBuilder& listeners,
                                          telemetry::Sample& sample) {
  if (!listeners.has_waiting()) {
    if (!half_open_counted) {
      sample.absent.emplace("listeners.half_open",
                            fmt::format("not counted above {} sockets while no accept queue is waiting; "
                                        "a full look does",
                                        options_.full_up_to_sockets));
    }
    return {};
  }
  if (!half_open_counted) {
    listeners.expect_half_open();
    HalfOpenRows half_open(listeners);
    ++sample.cost.passes;
    if (auto done = dump({StateMask(TcpState::kSynReceived), DiagExtension::kNone, {}, {}}, half_open, sample.cost);
        !done) {
      return done;
    }
  }
  DiagRequest request{StateMask(TcpState::kEstablished, TcpState::kCloseWait), DiagExtension::kTcpInfo, {}, {}};
  request.only_ports = listeners.waiting_ports();
  if (request.only_ports.size() > kMaximumFilterPorts) request.only_ports.clear();
  WaitingRows waiting(listeners);
  ++sample.cost.passes;
  return dump(request, waiting, sample.cost);
}

telemetry::PortSet Census::former_listeners(const telemetry::PortSet& listening, base::Instant now) {
  listening.for_each([&](std::uint16_t port) { last_listening_[port] = now; });
  telemetry::PortSet former;
  for (auto entry = last_listening_.begin(); entry != last_listening_.end();) {
    if (now - entry->second > kRememberListener) {
      entry = last_listening_.erase(entry);
      continue;
    }
    if (!listening.test(entry->first)) former.set(entry->first);
    ++entry;
  }
  return former;
}

EventCensus* Census::events_for(const EventCensus::Situation& situation, bool is_full, telemetry::Sample& sample) {
  if (!events_) return nullptr;
  if (is_full) {
    events_->stop();
    return nullptr;
  }
  if (auto begun = events_->begin(namespace_, situation); !begun) {
    sample.absent.emplace("look.events", begun.error().message());
    events_.reset();
    return nullptr;
  }
  return &*events_;
}

/// Events are believed while no tuple is under pressure: there a port more or less decides nothing.
base::Result<void> Census::look_by_events(EventCensus& events, const EventCensus::Situation& situation,
                                          telemetry::ListenerBuilder& listeners, telemetry::Sample& sample) {
  const telemetry::PortSettings& ports = situation.plan.settings();
  const std::uint32_t listening = listeners.listening_sockets_in(ports);
  const auto is_under_pressure = [&] {
    return std::any_of(sample.tuples.begin(), sample.tuples.end(), [&](const telemetry::TupleSample& tuple) {
      return (tuple.counts.live + tuple.counts.time_wait) * 2 > sample.plan.capacity();
    });
  };
  if (events.is_current(situation)) {
    events.fill(sample, listening);
    if (!is_under_pressure()) return {};
    sample.tuples.clear();
  }
  auto done = events.reconcile(situation, [&](telemetry::RowSink& sink) {
    return dump_connections(ports, false, listeners, sink, sample.cost);
  });
  if (done) events.fill(sample, listening);
  return done;
}

base::Result<telemetry::Sample> Census::look_inside(base::Moment now) {
  telemetry::Sample sample;
  sample.at = now;
  sample.netns = namespace_.label();
  if (!socket_) {
    auto opened = DiagSocket::open();
    if (!opened) return tl::unexpected(opened.error());
    socket_ = std::move(*opened);
  }
  const NetworkSettings settings = read_network_settings();
  const auto ports = settings.port_settings();
  if (!ports) return tl::unexpected(ports.error());
  const NetworkCounters counters = read_network_counters();
  describe(settings, counters, sample);
  const std::uint64_t sockets = sockets_of(counters.values);
  const bool is_full = is_full_look(sockets, sample);
  const auto source = source_of_look(sockets);
  if (!source) return tl::unexpected(source.error());
  sample.source = *source;

  // A dump of LISTEN alone does not walk the table of connections: it costs next to nothing.
  telemetry::ListenerBuilder listeners;
  const DiagRequest listening{kListening, DiagExtension::kSocketMemory, {}, {}};
  if (auto done = dump(listening, listeners, sample.cost); !done) return tl::unexpected(done.error());
  listeners.remember(former_listeners(listeners.listener_ports(), now.steady));

  const EventCensus::Situation situation{now.steady, telemetry::PortPlan(*ports, listeners.owned_ports()),
                                         listeners.listener_ports(),
                                         counters.values.get("TcpExt.TCPTimeWaitOverflow").value_or(0)};
  if (EventCensus* const events = events_for(situation, is_full, sample)) {
    if (auto done = look_by_events(*events, situation, listeners, sample); !done) return tl::unexpected(done.error());
    if (auto done = look_at_queues(false, listeners, sample); !done) return tl::unexpected(done.error());
    sample.ledger = events->totals();
    sample.listeners = listeners.finish();
    return sample;
  }
  const base::CpuStopwatch cpu;
  if (auto done = look_by_walk(*ports, is_full, listeners, sample); !done) {
    if (sample.source == LookSource::kSockDiag) return tl::unexpected(done.error());
    return without_iterator(done.error(), now);
  }
  sample.listeners = listeners.finish();
  learn(cpu.elapsed(), sockets, sample);
  return sample;
}

}  // namespace tidewaiter::kernel
