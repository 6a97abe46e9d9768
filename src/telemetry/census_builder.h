// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "telemetry/sample.h"
#include "telemetry/socket_row.h"
#include "telemetry/tuple_index.h"

namespace tidewaiter::telemetry {

/// First half of a look: who listens, and which ports are locked for everybody. Feed it the LISTEN rows.
/// Thread: the caller's.
class ListenerBuilder final : public RowSink {
 public:
  void on_row(const SocketRow& row) override;
  void on_restart() override;

  /// Ports that a LISTEN socket of any address or family owns, or owned (remember()).
  [[nodiscard]] const PortSet& listener_ports() const { return listener_ports_; }

  /// Ports that a listener or a bound idle socket owns: connect() skips them for every destination.
  [[nodiscard]] const PortSet& owned_ports() const { return owned_ports_; }

  /// Ports whose LISTEN socket has gone a while ago: what is left of their connections still is the server's side, and
  /// still keeps connect() from the port. Call it when all LISTEN rows are in.
  void remember(const PortSet& former);

  /// True when some accept queue is not empty.
  [[nodiscard]] bool has_waiting() const;

  /// Ports whose accept queue is not empty.
  [[nodiscard]] std::vector<std::uint16_t> waiting_ports() const;

  /// Starts the half-open counts at 0: the rows that follow contain every SYN_RECV socket. Until then they are absent.
  void expect_half_open();

  /// Forgets what came after the LISTEN rows: half-open sockets and bound idle ones.
  void forget_rows();

  /// A SYN_RECV row counts for the listener of its local address, else for the wildcard listener of its port; a LISTEN
  /// row brings the number of its own.
  void add_half_open(const SocketRow& row);

  /// An established row without a descriptor on a listener's port: it waits for accept(). A row may come twice (an
  /// interrupted dump repeats some): the cookie tells.
  void add_waiting(const SocketRow& row);

  /// Forgets who waits for accept(): the dump of them starts again.
  void forget_waiting() { waiting_.clear(); }

  [[nodiscard]] std::vector<ListenerSample> finish() const;
  [[nodiscard]] std::uint32_t listening_sockets_in(const PortSettings& settings) const;

 private:
  using Key = std::pair<std::uint16_t, Address>;
  ListenerSample* owner_of(const SocketRow& row);

  bool half_open_expected_ = false;
  std::map<Key, ListenerSample> listeners_;
  std::map<Key, std::map<std::uint64_t, std::uint32_t>> waiting_;  ///< cookie of the connection → its wait in ms
  PortSet listener_ports_;
  PortSet owned_ports_;
};

/// Second half: folds every other row into destination tuples. One pass, no order of rows assumed; a port that shows
/// up twice in a tuple counts once (a live socket wins over its TIME_WAIT). Rows of bound idle sockets may be among
/// them: their ports are locked like those of listeners. So may be what an iterator tells of listeners: LISTEN rows
/// with their half-open number, and connections that wait for accept().
///
/// Memory: 16 bytes per port in use and about 200 per tuple. Thread: the caller's.
class CensusBuilder final : public RowSink {
 public:
  /// `listeners` must outlive the builder, and know every LISTEN socket already; it receives half-open rows and bound
  /// idle sockets.
  CensusBuilder(const PortSettings& settings, ListenerBuilder& listeners);

  void on_row(const SocketRow& row) override;
  void on_restart() override;

  /// Connections on listening ports that the source only counted, as far as they are on ports of the range.
  void add_left_out(std::uint32_t in_range, std::uint32_t in_range_mini);

  /// Moves plan, tuples and literal counts into `sample`. The builder is empty afterwards.
  void finish(Sample& sample);

 private:
  PortPlan plan_;  ///< as far as it is known while rows come: listeners lock their ports
  ListenerBuilder& listeners_;
  TupleIndex index_;
  std::vector<TupleSample> tuples_;
  std::uint32_t in_range_ = 0;
  std::uint32_t in_range_time_wait_ = 0;
};

}  // namespace tidewaiter::telemetry
