// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/instant.h"
#include "telemetry/port_plan.h"
#include "telemetry/sample.h"
#include "telemetry/socket_row.h"
#include "telemetry/timer_wheel.h"

namespace tidewaiter::telemetry {

/// A socket that takes or leaves a local port, as an event tells it.
struct SocketChange {
  enum class Kind : std::uint8_t {
    kOpened,            ///< established
    kSynRetransmitted,  ///< still in SYN_SENT
    kTimeWait,          ///< closed; a mini-socket keeps the port
    kReleased,          ///< closed; the port is free
  };

  base::Instant at;
  std::uint64_t ticks = 0;   ///< the kernel's tick counter at `at`
  std::uint64_t cookie = 0;  ///< of the connection
  Tuple tuple;
  std::uint16_t local_port = 0;
  Kind kind = Kind::kOpened;
};

/// Who holds which local port, kept up to date by events, so that a look costs what has changed and not what is there.
/// Events cannot tell everything (a mini-socket that is killed, or that its peer's FIN starts anew; a bound idle
/// socket): now and then a dump puts it right, and what it found wrong is counted.
///
/// Two things are known later than by a dump: the port of a connection in SYN_SENT, at its first answer or after its
/// first second; and a FIN_WAIT2 mini-socket, which is taken for a TIME_WAIT until the next dump.
///
/// Memory: 40 bytes per socket. Thread: one at a time.
class SocketLedger final : public RowSink {
 public:
  /// What a dump found otherwise than it was kept: by port and whether a mini-socket holds it.
  struct Drift {
    std::uint64_t missing = 0;   ///< there, and not kept
    std::uint64_t phantoms = 0;  ///< kept, and not there
  };

  /// `hz`: ticks per second of the kernel.
  explicit SocketLedger(unsigned hz) : wheel_(hz) {}

  /// Nothing is kept any more. Sockets are told apart by `plan` and by the ports that `listening` owns until the next
  /// reset(): connections of those are a server's.
  void reset(const PortPlan& plan, const PortSet& listening, base::Instant now);

  /// The kernel's tick counter stood at `ticks` at this time: mini-sockets go on its multiples.
  void synchronize(base::Instant at, std::uint64_t ticks) { wheel_.synchronize(at, ticks); }

  /// An event, in their order.
  void apply(const SocketChange& change);

  /// Before the rows of a dump, all of them but LISTEN ones; every event from before it was applied.
  void begin_dump(base::Instant now);
  void on_row(const SocketRow& row) override;
  void on_restart() override {}  // rows that come again are known

  /// After the rows, and after the events that came meanwhile were applied.
  [[nodiscard]] Drift end_dump();

  /// Tuples, plan and literal counts of `sample` as CensusBuilder gives them. Mini-sockets whose time is over go.
  void fill(Sample& sample, std::uint32_t listening_sockets_in_range);

  [[nodiscard]] std::size_t sockets() const { return sockets_; }

 private:
  enum Flag : std::uint8_t {
    kSynSent = 1,
    kSynRetransmitted = 2,
    kNoTuple = 4,     ///< on a locked port
    kOutside = 8,     ///< on a port that connect() never gives
    kConfirmed = 16,  ///< during a dump: a row or an event has shown it
    kUnexpected = 32  ///< during a dump: a row has shown it, and it was not kept
  };

  struct Held {
    std::uint64_t cookie;
    std::uint32_t due_ms;  ///< mini-sockets: when the timer is due, by to_ms()
    std::uint16_t port;
    PortHolder holder;
    std::uint8_t flags;
  };

  struct HeldTuple {
    Tuple tuple;
    std::vector<Held> held;
    std::uint32_t mini_sockets = 0;
    bool is_changed = true;  ///< since `shown`
    TupleSample shown;
  };

  struct Slot {
    std::uint32_t tuple = 0;  ///< place in tuples_ + 1; 0 = empty
    std::uint32_t at = 0;     ///< place in its `held`
  };

  /// A place in the ledger.
  struct Place {
    std::uint32_t tuple;
    std::uint32_t at;
  };

  [[nodiscard]] std::size_t home_of(std::uint32_t tuple, std::uint16_t port) const;
  [[nodiscard]] std::size_t slot_of(std::uint32_t tuple, std::uint16_t port) const;
  [[nodiscard]] std::uint32_t find_or_add_tuple(const Tuple& tuple);
  [[nodiscard]] Held* find(std::uint32_t tuple, std::uint16_t port);
  Held& hold(std::uint32_t tuple, std::uint16_t port, std::uint64_t cookie, PortHolder holder);
  void turn(std::uint32_t tuple, Held& held, std::uint64_t cookie, PortHolder holder);
  void release(std::uint32_t tuple, std::uint16_t port);
  void drop_if_empty(std::uint32_t tuple);
  void empty_slot(std::size_t slot);
  void grow();
  void connect(const SocketChange& change);
  void wait(const SocketChange& change);
  void release(const SocketChange& change);
  [[nodiscard]] std::uint8_t place_of(std::uint16_t port) const;
  [[nodiscard]] std::uint32_t to_ms(base::Instant instant) const;
  [[nodiscard]] base::Instant due_of(const Held& held, base::Instant now) const;
  void expire(std::uint32_t tuple, base::Instant now);
  void show(HeldTuple& tuple, base::Instant now) const;

  TimerWheel wheel_;
  PortPlan plan_;
  PortSet listening_;
  base::Instant epoch_{};  ///< of to_ms(), which goes round after 49 days
  base::Instant dump_began_{};
  bool is_dumping_ = false;
  std::uint64_t next_cookie_ = std::uint64_t{1} << 63;  ///< of mini-sockets, which events give none
  std::unordered_map<Tuple, std::uint32_t> places_;
  std::vector<HeldTuple> tuples_;
  std::vector<std::uint32_t> unused_;  ///< places in tuples_
  std::vector<Slot> slots_ = std::vector<Slot>(1024);
  std::size_t sockets_ = 0;
  std::uint32_t in_range_ = 0;
  std::uint32_t in_range_mini_ = 0;
};

}  // namespace tidewaiter::telemetry
