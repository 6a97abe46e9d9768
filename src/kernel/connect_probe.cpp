// SPDX-License-Identifier: Apache-2.0
#include "kernel/connect_probe.h"

#include <algorithm>
#include <bpf/libbpf.h>
#include <cerrno>
#include <csignal>
#include <map>
#include <optional>
#include <span>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utility>

#include "kernel/bpf_program.h"
#include "kernel/connect_decode.h"
#include "kernel/connect_programs.h"
#include "kernel/connect_tables.h"
#include "kernel/early_failures.h"
#include "kernel/errno_window.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace tidewaiter::kernel {
namespace {

using telemetry::ConnectCause;
using telemetry::ConnectReading;
using telemetry::ConnectTotals;

struct NamespaceIdentity {
  std::uint32_t inode = 0;
  std::uint64_t cookie = 0;  ///< 0: this kernel gives none (before 5.14)
};

base::Result<NamespaceIdentity> identity_of(const NetworkNamespace& network_namespace) {
  return network_namespace.run([]() -> base::Result<NamespaceIdentity> {
    struct stat status {};
    if (::stat("/proc/thread-self/ns/net", &status) != 0)
      return base::fail_errno(errno, "stat /proc/thread-self/ns/net");
    NamespaceIdentity identity;
    identity.inode = static_cast<std::uint32_t>(status.st_ino);
    const base::FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    socklen_t size = sizeof identity.cookie;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &identity.cookie, &size) != 0) identity.cookie = 0;
    return identity;
  });
}

struct RingCloser {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

/// The causes of failures before SYN_SENT that the errno window told, out of those that are counted without one. Not
/// more than these: the two are not read at one moment.
void attribute(const tw_connect_totals& wire, ConnectTotals& totals) {
  const auto take = [&](std::uint64_t told) {
    const std::uint64_t taken = std::min(told, totals.pre_syn_unattributed);
    totals.pre_syn_unattributed -= taken;
    return taken;
  };
  const std::uint64_t prohibited = take(wire.prohibited_early);
  totals.prohibited += prohibited;
  totals.ended[static_cast<std::size_t>(ConnectCause::kUnreachable)] += prohibited + take(wire.unreachable_early);
  totals.ended[static_cast<std::size_t>(ConnectCause::kDenied)] += take(wire.denied_early);
}

/// One descriptor to wait at: readable when events wait, or the errno window is due.
class Alarm {
 public:
  base::Result<void> create(int ring);
  void set(base::Nanoseconds delay) const;

  /// True once after the delay.
  [[nodiscard]] bool is_due() const;
  [[nodiscard]] int descriptor() const { return epoll_.get(); }

 private:
  base::FileDescriptor epoll_;
  base::FileDescriptor timer_;
};

base::Result<void> Alarm::create(int ring) {
  epoll_ = base::FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  timer_ = base::FileDescriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  for (const int descriptor : {ring, timer_.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) {
      return base::fail_errno(errno, "wait for connects");
    }
  }
  return {};
}

void Alarm::set(base::Nanoseconds delay) const {
  itimerspec when{};
  when.it_value.tv_sec = delay.count() / 1'000'000'000;
  when.it_value.tv_nsec = delay.count() % 1'000'000'000;
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

bool Alarm::is_due() const {
  std::uint64_t expirations = 0;
  return ::read(timer_.get(), &expirations, sizeof expirations) == sizeof expirations;
}

}  // namespace

class ConnectProbe::Reader {
 public:
  Reader(ConnectProbeOptions options, ConnectPrograms programs)
      : options_(std::move(options)),
        programs_(std::move(programs)),
        tables_(programs_),
        canary_(options_.canary_every) {}

  /// Also adds the row of the errno window to `table`.
  base::Result<void> start(const NetworkNamespace& network_namespace, SourceTable& table);
  base::Result<void> watch(const NetworkNamespace& network_namespace);
  base::Result<ConnectReading> read(base::Instant now);
  void test_hooks(const NetworkNamespace& network_namespace, base::Instant now);
  [[nodiscard]] const ConnectCanary& canary() const { return canary_; }
  std::uint64_t drain(const Visitor& visit);
  [[nodiscard]] int descriptor() const { return alarm_.descriptor(); }
  [[nodiscard]] bool sees_dropped_acks() const { return programs_.is_attached("on_drop"); }

 private:
  [[nodiscard]] CanaryEnd send_canary(const NetworkNamespace& network_namespace) const;
  void prepare_errno_window(SourceTable& table);
  void open_errno_window(base::Instant now);
  void count_early_failures(base::Instant now);
  [[nodiscard]] ConnectReading compose(base::Instant now) const;
  void retire_idle(base::Instant now);
  void close_errno_window();
  static int on_event(void* self, void* bytes, size_t size);

  ConnectProbeOptions options_;
  ConnectPrograms programs_;
  ConnectTables tables_;
  ConnectCanary canary_;
  std::vector<ConnectEntry> entries_;  ///< of the last reading
  std::unique_ptr<ring_buffer, RingCloser> ring_;
  Alarm alarm_;
  const Visitor* visitor_ = nullptr;
  std::uint64_t malformed_ = 0;
  EarlyFailures early_failures_;
  std::optional<ErrnoWindow> errno_window_;  ///< absent: cannot be had here
  ErrnoWindowPolicy errno_window_policy_;
  base::Instant errno_window_ends_{};
  struct Activity {
    std::uint64_t syn_sent = 0;
    base::Instant since{};
  };
  std::map<telemetry::Tuple, Activity> activity_;
  std::map<telemetry::Tuple, ConnectTotals> retired_;  ///< totals of tuples that made room
};

base::Result<void> ConnectProbe::Reader::start(const NetworkNamespace& network_namespace, SourceTable& table) {
  ring_.reset(ring_buffer__new(programs_.map("events"), on_event, this, nullptr));
  if (!ring_) return base::fail_errno(errno, "map the ring of events");
  if (auto created = alarm_.create(ring_buffer__epoll_fd(ring_.get())); !created) return created;
  for (const tw_connect_key& key : {tw_connect_key{}, kCanaryKey}) {
    if (auto reserved = tables_.reserve(key); !reserved) return reserved;
  }
  *programs_.settings().slow_ns = static_cast<std::uint64_t>(options_.slow.count());
  prepare_errno_window(table);
  return watch(network_namespace);
}

base::Result<void> ConnectProbe::Reader::watch(const NetworkNamespace& network_namespace) {
  const auto identity = identity_of(network_namespace);
  if (!identity) return tl::unexpected(identity.error());
  *programs_.settings().watched_netns = identity->inode;
  *programs_.settings().watched_cookie = identity->cookie;
  return {};
}

int ConnectProbe::Reader::on_event(void* self, void* bytes, size_t size) {
  auto& reader = *static_cast<Reader*>(self);
  const auto event = event_of({static_cast<const std::byte*>(bytes), size});
  if (event) {
    (*reader.visitor_)(*event);
  } else {
    ++reader.malformed_;
  }
  return 0;
}

std::uint64_t ConnectProbe::Reader::drain(const Visitor& visit) {
  if (alarm_.is_due()) close_errno_window();
  visitor_ = &visit;
  const int consumed = ring_buffer__consume(ring_.get());
  return consumed > 0 ? static_cast<std::uint64_t>(consumed) : 0;
}

/// After the entries were read.
void ConnectProbe::Reader::count_early_failures(base::Instant now) {
  if (!programs_.has_connect_hook()) return;
  EarlyFailures::Counts counted;
  for (const auto& [key, totals] : entries_) {
    if (totals.failed_early > 0 && !is_reserved(key)) counted[tuple_of(key)] += totals.failed_early;
  }
  const std::vector<EnteredCall> calls = tables_.entered_calls();
  early_failures_.update(counted, calls, now);
  for (const EnteredCall& call : calls) {
    const auto id = static_cast<pid_t>(call.thread & 0xffff'ffff);
    if (now - call.began < EarlyFailures::kSurelyOver || ::kill(id, 0) == 0 || errno != ESRCH) continue;
    if (tables_.forget_call(call)) early_failures_.bury(call);
  }
}

base::Result<ConnectReading> ConnectProbe::Reader::read(base::Instant now) {
  if (now >= errno_window_ends_) close_errno_window();
  if (auto done = tables_.read(entries_); !done) return tl::unexpected(done.error());
  count_early_failures(now);
  ConnectReading reading = compose(now);
  std::uint64_t unattributed = 0;
  for (const auto& entry : reading.tuples) unattributed += entry.totals.pre_syn_unattributed;
  if (errno_window_ && errno_window_policy_.should_open(unattributed, now)) {
    open_errno_window(now);
  }
  tables_.forget_retries();
  retire_idle(now);
  return reading;
}

ConnectReading ConnectProbe::Reader::compose(base::Instant now) const {
  ConnectReading reading;
  reading.at = now;
  std::map<telemetry::Tuple, ConnectTotals> tuples = retired_;
  for (const auto& [destination, failed] : early_failures_.failed()) {
    ConnectTotals& totals = tuples[destination];
    totals.attempts += failed;
    totals.pre_syn_unattributed += failed;
  }
  for (const auto& [key, wire] : entries_) {
    if (is_canary(key)) continue;
    ConnectTotals totals = totals_of(wire);
    if (is_other(key)) {
      totals.attempts += wire.failed_early;
      totals.pre_syn_unattributed = wire.failed_early;
      attribute(wire, totals);
      if (totals != ConnectTotals{}) reading.other = totals;
      continue;
    }
    const telemetry::Tuple tuple = tuple_of(key);
    if (totals != ConnectTotals{}) tuples[tuple] += totals;
    if (wire.failed_early > 0) attribute(wire, tuples[tuple]);
  }
  reading.tuples.reserve(tuples.size());
  for (auto& [tuple, totals] : tuples) reading.tuples.push_back({tuple, totals});
  reading.listeners = tables_.listeners();
  reading.lost = tables_.lost();
  reading.lost["bpf_malformed"] = malformed_;
  reading.lost["bpf_canaries"] = canary_.unseen();
  return reading;
}

void ConnectProbe::Reader::retire_idle(base::Instant now) {
  const bool is_full = entries_.size() * 4 > (options_.max_tuples + kReservedTuples) * 3;
  for (const auto& [key, totals] : entries_) {
    if (is_reserved(key) || totals.failed_early > 0) continue;
    const telemetry::Tuple tuple = tuple_of(key);
    Activity& activity = activity_[tuple];
    if (activity.syn_sent != totals.syn_sent || activity.since == base::Instant{}) activity = {totals.syn_sent, now};
    if (!is_full || now - activity.since < options_.retire_after) continue;
    // Taken out and read in one step. A program that is at this moment inside the entry, ten minutes after its last
    // event, would be lost; nothing closer is possible without a lock in every program.
    const auto last = tables_.take(key);
    if (!last) continue;
    retired_[tuple] += totals_of(*last);
    activity_.erase(tuple);
  }
}

void ConnectProbe::Reader::prepare_errno_window(SourceTable& table) {
  SourceRow row{"bpf_errno_window", 1, false, "CAP_PERFMON"};
  bpf_program* const program = programs_.loaded_program("on_exit_connect");
  if (!programs_.has_connect_hook()) {
    row.needs = "bpf_connect";
  } else if (program != nullptr) {
    auto window = ErrnoWindow::prepare(program, options_.surroundings.trace_files);
    row.is_active = window.has_value();
    row.needs = window ? "" : window.error().message();
    if (window) errno_window_ = std::move(*window);
  }
  table.push_back(std::move(row));
}

/// It went once; if it does not now, causes stay unknown, and are counted so.
void ConnectProbe::Reader::open_errno_window(base::Instant now) {
  if (!errno_window_->is_open()) *programs_.settings().exits_since_ns = monotonic_ns();
  if (!errno_window_->open()) return;
  errno_window_ends_ = now + ErrnoWindowPolicy::kOpenFor;
  alarm_.set(ErrnoWindowPolicy::kOpenFor);
}

void ConnectProbe::Reader::close_errno_window() {
  if (errno_window_) errno_window_->close();
}

/// The attempt is counted in the context of this very call.
CanaryEnd ConnectProbe::Reader::send_canary(const NetworkNamespace& network_namespace) const {
  std::uint64_t& cookie = *programs_.settings().canary_cookie;
  const std::uint64_t before = tables_.attempts(kCanaryKey);
  const auto was_made =
      network_namespace.run([&] { return connect_nowhere([&](std::uint64_t announced) { cookie = announced; }); });
  cookie = 0;
  if (!was_made || !*was_made) return CanaryEnd::kNotMade;
  return tables_.attempts(kCanaryKey) > before ? CanaryEnd::kSeen : CanaryEnd::kUnseen;
}

void ConnectProbe::Reader::test_hooks(const NetworkNamespace& network_namespace, base::Instant now) {
  if (canary_.is_due(now)) canary_.note(send_canary(network_namespace), now);
}

ConnectProbe::ConnectProbe(std::unique_ptr<Reader> reader) : reader_(std::move(reader)) {}
ConnectProbe::ConnectProbe(ConnectProbe&&) noexcept = default;
ConnectProbe& ConnectProbe::operator=(ConnectProbe&&) noexcept = default;
ConnectProbe::~ConnectProbe() = default;

base::Result<ConnectProbe> ConnectProbe::attach(const NetworkNamespace& network_namespace,
                                                const ConnectProbeOptions& options, SourceTable& table) {
  auto programs = ConnectPrograms::attach(options, table);
  if (!programs) return tl::unexpected(programs.error());
  auto reader = std::make_unique<Reader>(options, std::move(*programs));
  if (auto started = reader->start(network_namespace, table); !started) return tl::unexpected(started.error());
  return ConnectProbe(std::move(reader));
}

base::Result<void> ConnectProbe::watch(const NetworkNamespace& network_namespace) {
  return reader_->watch(network_namespace);
}
bool ConnectProbe::sees_dropped_acks() const { return reader_->sees_dropped_acks(); }
int ConnectProbe::descriptor() const { return reader_->descriptor(); }
std::uint64_t ConnectProbe::drain(const Visitor& visit) { return reader_->drain(visit); }
base::Result<ConnectReading> ConnectProbe::read(base::Instant now) { return reader_->read(now); }
void ConnectProbe::test_hooks(const NetworkNamespace& network_namespace, base::Instant now) {
  reader_->test_hooks(network_namespace, now);
}
const ConnectCanary& ConnectProbe::canary() const { return reader_->canary(); }

}  // namespace tidewaiter::kernel
