// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/instant.h"
#include "telemetry/burst_index.h"
#include "telemetry/connect_pool.h"
#include "telemetry/connects.h"
#include "telemetry/features.h"

namespace tidewaiter::telemetry {

/// A process that had trouble with a destination lately, from its events.
struct ConnectProcess {
  std::uint32_t pid = 0;
  std::string command;
  std::uint64_t failures = 0;  ///< since it was first seen here
  std::uint64_t slow = 0;
  std::uint64_t retries = 0;
  base::Instant last{};
};

/// What is known of the connects of one tuple at the end of a window.
struct TupleConnects {
  ConnectTotals totals;  ///< since the source began
  ConnectCounts window;  ///< of the last window; `attempts` are those that ended in it
  std::uint64_t window_established = 0;
  std::uint64_t window_timeouts = 0;
  std::uint64_t window_syn_retransmits = 0;
  std::uint64_t window_retries = 0;
  std::uint64_t window_portless = 0;    ///< found no local port in the last window
  std::optional<ConnectCounts> pooled;  ///< back to 20 attempts, at most 30 s

  std::optional<Quantile> connect_p95;  ///< CTL95, pooled likewise; failures censored at the time they had waited
  std::optional<Quantile> connect_p99;
  std::optional<Quantile> search_p95;  ///< port search, pooled likewise
  std::optional<Quantile> search_p99;
  std::uint64_t connect_count = 0;  ///< behind the quantiles
  std::uint64_t search_count = 0;

  std::array<std::optional<double>, kBurstWidths.size()> bursts;  ///< RBI by width; absent: few retries
  std::optional<double> burst_index;                              ///< headline, once retries go on for 2 s
  std::optional<double> retries_per_attempt;                      ///< of the pooled windows; attempts that are none
  double attempts_per_s = 0;                                      ///< that ended in the last window
  double retries_per_s = 0;                                       ///< over the last 5 s
  double search_cores = 0;                ///< processors busy with port searches in the last window
  double reconnects_per_s = 0;            ///< new connects of the window, where there was a session within 60 s
  std::uint64_t reconnects = 0;           ///< of these, since the source began
  std::vector<ConnectProcess> processes;  ///< with trouble in the last 60 s, the worst first; at most kMostProcesses

  static constexpr std::size_t kMostProcesses = 8;
};

/// The connects of a namespace at the end of a window.
struct Connects {
  base::Instant at{};  ///< of the reading; older than the window whose reading failed
  std::map<Tuple, TupleConnects> tuples;
  ConnectTotals totals;                 ///< over all tuples, those without room included
  std::optional<ConnectTotals> window;  ///< of the totals, since the reading before; absent: there was none
  std::optional<ConnectTotals> other;   ///< of tuples without room; absent: none
  std::vector<ListenerHandshakes> listeners;
  std::map<std::string, std::uint64_t> lost;  ///< by where, since the source began

  /// Null for a tuple without connects.
  [[nodiscard]] const TupleConnects* find(const Tuple& tuple) const {
    const auto found = tuples.find(tuple);
    return found == tuples.end() ? nullptr : &found->second;
  }
};

/// Folds what a source of connects tells into what a window shows. Events come as they happen, readings once a window.
/// Pure but for what it remembers; time comes with the data. Memory: 3 KB for a tuple, some more while it is busy, 4 KB
/// while it has retries; a tuple keeps its totals for good. Thread: one at a time.
class ConnectTracker {
 public:
  void on_event(const ConnectEvent& event);

  /// The window ends with this reading. The first one is the zero of windows: connects before it are in totals alone.
  void observe(const ConnectReading& reading);

  /// Destinations that have live connections, or had since the last call: their next connects are reconnects.
  void note_sessions(const Sample& sample);

  [[nodiscard]] const Connects& connects() const { return connects_; }

  /// Tuples that had connects within the last windows: worth showing without a socket.
  [[nodiscard]] std::vector<Tuple> busy() const;

  /// The signals of a tuple for its features; those that no event gives stay absent. No connect is a known number:
  /// counts of 0, no rates.
  void add_to(const Tuple& tuple, Features& features) const;

 private:
  /// Few distinct durations: most windows of most tuples.
  using SparseCounts = std::vector<std::pair<std::uint16_t, std::uint32_t>>;
  struct Durations {
    base::Instant end;
    std::uint64_t ended = 0;
    std::uint64_t retries = 0;
    SparseCounts connect;
    SparseCounts given_up;
    SparseCounts search;
  };
  struct History {
    ConnectTotals last;
    ConnectPool pool;
    std::deque<Durations> durations;  ///< the newest windows that together have enough
    std::unique_ptr<BurstIndex> retries;
    base::Instant retrying_since{};  ///< the first retry after five seconds without
    std::deque<std::pair<base::Instant, std::uint64_t>> retry_windows;
    std::optional<base::Instant> last_session;
    std::map<std::uint32_t, ConnectProcess> processes;
  };

  void fold(const Tuple& tuple, const ConnectTotals& totals, base::Instant now);
  static void pool(History& history, const ConnectTotals& delta, std::uint64_t ended, base::Instant now);
  static void read_quantiles(const History& history, TupleConnects& connects);
  void read_bursts(History& history, std::uint64_t retries, base::Instant now, TupleConnects& connects) const;
  static void list_processes(History& history, base::Instant now, TupleConnects& connects);

  Connects connects_;
  std::map<Tuple, History> histories_;
  std::optional<base::Instant> last_reading_;
  std::optional<base::Nanoseconds> elapsed_;  ///< of the last window
};

}  // namespace tidewaiter::telemetry
