// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "base/settings.h"
#include "kernel/diag_socket.h"
#include "kernel/event_census.h"
#include "kernel/network_namespace.h"
#include "kernel/network_settings.h"
#include "kernel/socket_iterator.h"
#include "kernel/source_table.h"
#include "kernel/walk_choice.h"
#include "telemetry/census_builder.h"
#include "telemetry/sample.h"

namespace tidewaiter::kernel {

/// How much of the socket table a look walks.
enum class LookDepth : std::uint8_t {
  kAutomatic,  ///< everything while the namespace is small; above that only what port pressure needs
  kFull,       ///< everything: half-open counts of every listener, and ports locked by bound idle sockets
};

/// Whether events keep a large census up to date.
enum class EventUse : std::uint8_t { kAutomatic, kOff };

/// What lists the connections.
enum class LookMethod : std::uint8_t {
  kAutomatic,  ///< the iterator for large namespaces where it is permitted, exact and cheaper (WalkChoice), else
               ///< sock_diag
  kSockDiag,
  kIterator,
};

struct LookOptions {
  LookDepth depth = LookDepth::kAutomatic;

  /// Sockets up to which an automatic look is a full one. Beyond it the kernel is asked to leave out the sockets of
  /// listeners' ports outside the range (at 100,000 sockets a quarter of the cost), and half-open counts are taken
  /// only while some accept queue is not empty.
  std::uint64_t full_up_to_sockets = 20'000;

  LookMethod method = LookMethod::kAutomatic;

  /// Whether a census beyond that size is kept up to date by events, where they can be had.
  EventUse events = EventUse::kAutomatic;

  base::Nanoseconds reconcile_every = base::Seconds(30);  ///< how often a dump puts it right
};

/// The settings of a look, bound to `options`.
[[nodiscard]] std::vector<base::Setting> settings_of(LookOptions& options);

/// Whether looks with these options can use the iterator, tried by a real load: the row `bpf_iter`.
[[nodiscard]] SourceRow iterator_source(const LookOptions& options);

/// The census of one network namespace from sock_diag and /proc: tier 0, no privilege needed in the own namespace.
/// Large ones are walked by a BPF iterator where that is permitted and cheaper, with the same result. Sockets have the
/// same identities in both (the kernel's cookies), so that any two looks of one census can be compared. Remembers from
/// look to look who listened: the connections of a server that has closed its LISTEN socket are not taken for outbound
/// ones for as long as the last of them can stay (two TIME_WAITs and a granule). Thread: one at a time.
class Census {
 public:
  /// `changes`: events for large namespaces; without them every look is a dump.
  explicit Census(NetworkNamespace network_namespace, LookOptions options = {},
                  std::optional<SocketChanges> changes = std::nullopt);

  /// One look. Errors: kUnavailable when the name of the namespace has gone or the kernel does not answer,
  /// kNotPermitted when another namespace cannot be entered. After an error the next look starts afresh.
  [[nodiscard]] base::Result<telemetry::Sample> look(base::Moment now);

  /// Takes in the events that wait; to be called when descriptor() is readable, at the latest by the next look.
  void drain();

  /// For the caller's epoll: readable when many events wait. Absent: there are none.
  [[nodiscard]] std::optional<int> descriptor() const;

  /// Looks at another namespace from now on.
  void watch(NetworkNamespace network_namespace);

  [[nodiscard]] const NetworkNamespace& network_namespace() const { return namespace_; }

 private:
  [[nodiscard]] base::Result<telemetry::Sample> look_inside(base::Moment now);
  [[nodiscard]] bool is_full_look(std::uint64_t sockets, telemetry::Sample& sample) const;
  [[nodiscard]] base::Result<telemetry::LookSource> source_of_look(std::uint64_t sockets);
  /// Takes the cost of the walk into account, and shows what is known of both sources.
  void learn(base::Nanoseconds cpu, std::uint64_t sockets, telemetry::Sample& sample);
  /// Null: not to be had, `iterator_needs_` says why.
  [[nodiscard]] SocketIterator* iterator();
  [[nodiscard]] base::Result<void> walk(const telemetry::PortSettings& settings, bool is_full,
                                        telemetry::ListenerBuilder& listeners, telemetry::CensusBuilder& builder,
                                        telemetry::Sample& sample);
  [[nodiscard]] base::Result<void> dump_connections(const telemetry::PortSettings& settings, bool is_full,
                                                    const telemetry::ListenerBuilder& listeners,
                                                    telemetry::RowSink& sink, telemetry::LookCost& cost);
  /// By the iterator or by sock_diag, whichever this look is by.
  [[nodiscard]] base::Result<void> look_by_walk(const telemetry::PortSettings& settings, bool is_full,
                                                telemetry::ListenerBuilder& listeners, telemetry::Sample& sample);
  /// After a walk that failed, or cannot be relied on: the look by sock_diag, from now on.
  [[nodiscard]] base::Result<telemetry::Sample> without_iterator(const base::Error& error, base::Moment now);
  /// Null: this look is a walk alone.
  [[nodiscard]] EventCensus* events_for(const EventCensus::Situation& situation, bool is_full,
                                        telemetry::Sample& sample);
  [[nodiscard]] base::Result<void> look_by_events(EventCensus& events, const EventCensus::Situation& situation,
                                                  telemetry::ListenerBuilder& listeners, telemetry::Sample& sample);
  [[nodiscard]] base::Result<void> dump(const DiagRequest& request, telemetry::RowSink& sink,
                                        telemetry::LookCost& cost);
  [[nodiscard]] base::Result<void> look_at_queues(bool half_open_counted, telemetry::ListenerBuilder& listeners,
                                                  telemetry::Sample& sample);

  /// The ports that listened within the last 125 s and do no more.
  [[nodiscard]] telemetry::PortSet former_listeners(const telemetry::PortSet& listening, base::Instant now);

  NetworkNamespace namespace_;
  LookOptions options_;
  std::unordered_map<std::uint16_t, base::Instant> last_listening_;
  std::optional<DiagSocket> socket_;
  std::optional<EventCensus> events_;
  std::optional<SocketIterator> iterator_;
  std::string iterator_needs_;  ///< why there can be none; empty: there is one, or nobody has tried
  WalkChoice choice_;
  std::map<telemetry::LookSource, base::Nanoseconds> walk_cpu_;
};

}  // namespace tidewaiter::kernel
