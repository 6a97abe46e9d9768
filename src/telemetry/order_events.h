// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/instant.h"
#include "base/settings.h"
#include "telemetry/cadence.h"
#include "telemetry/power_counts.h"
#include "telemetry/sample.h"
#include "telemetry/send_delays.h"

namespace tidewaiter::telemetry {

/// What a program tells of one child order.
struct OrderEvent {
  enum class Kind : std::uint8_t {
    kDecision,
    kSendAttempt,  ///< the first byte is handed to a socket
    kSendFailed,   ///< given up unsent; a try that is repeated has not failed
    kCancel,       ///< withdrawn, before it was sent or after
    kRefusal,      ///< an order gate did not let it go
  };
  struct Schedule {
    base::Instant scheduled;
    base::Instant slice_end;  ///< of the part of the parent's schedule that the child belongs to
  };

  std::uint64_t producer = 0;  ///< within one, an id is one child while it is worked on
  std::uint64_t id = 0;
  Kind kind = Kind::kDecision;
  base::Instant at{};
  Tuple tuple;                       ///< what is not told: unspecified addresses, port 0
  std::optional<Schedule> schedule;  ///< kDecision
  base::Nanoseconds gate_delay{0};   ///< all others: how long a gate has held the child back on purpose, ≥ 0
};

/// Joins the decision of each child with what became of it, whichever is told first: gives DSD95 and cadence.
///
/// A child counts once. Sent: at the last attempt before settle(). Failed or cancelled unsent: as given up at that
/// time. Refused by a gate: in neither, for it is our own doing. Definitions: docs/design/events.md. Thread: the
/// caller's.
class OrderEvents {
 public:
  static constexpr base::Nanoseconds kCadence = base::Seconds(60);

  struct Options {
    base::Nanoseconds patience = base::Seconds(60);
    std::uint64_t max_children = 16'384;  ///< decided and not sent yet, and launches of the last kCadence: of each
    std::uint64_t max_tuples = 64;        ///< that have a DSD95
  };
  [[nodiscard]] static std::vector<base::Setting> settings_of(Options& options);

  /// Children since the start. decisions = sent + failed + cancelled + refused + expired + repeated + overflowed +
  /// children().
  struct Counters {
    std::uint64_t decisions = 0;
    std::uint64_t sent = 0;
    std::uint64_t failed = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t refused = 0;
    std::uint64_t expired = 0;     ///< nothing was heard of them for `patience`
    std::uint64_t repeated = 0;    ///< another decision with the same id came before anything became of them
    std::uint64_t overflowed = 0;  ///< there was no room to wait for what becomes of them

    std::uint64_t undecided = 0;           ///< attempts and failures without a decision; none of the above
    std::uint64_t forgotten_launches = 0;  ///< pushed out of the cadence by newer ones before they were 60 s old

    friend bool operator==(const Counters&, const Counters&) = default;
  };

  explicit OrderEvents(Options options) : options_(options), delays_(options.max_tuples) {}

  void add(const OrderEvent& event);

  /// Decides what became of the children heard of, once all events of a moment have been added. An attempt or a failure
  /// without its decision waits for one more call: they may come by different ways.
  void settle();

  /// Ends a window: settles, gives up waiting for those that are older than `patience`, and judges. `visit` as in
  /// SendDelays::close.
  void close(
      base::Instant now, const SendDelays::Visitor& visit = [](const Tuple&, const Histogram&) {});

  /// As of the last close().
  [[nodiscard]] const SendDelays& delays() const { return delays_; }

  /// Of all children with a schedule whose fate was settled in the last 60 s or is open. O(n log n): 5 ms for 10,000.
  [[nodiscard]] Cadence cadence(base::Instant now) const;

  /// Decided, and not heard of since.
  [[nodiscard]] std::size_t children() const;
  [[nodiscard]] const Counters& counters() const { return counters_; }

  /// |sent − scheduled| of every child with a schedule, since the start.
  [[nodiscard]] const PowerCounts& launch_errors() const { return launch_errors_; }

 private:
  struct Key {
    std::uint64_t producer;
    std::uint64_t id;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  struct Child {
    std::optional<OrderEvent> decision;
    std::optional<OrderEvent> outcome;  ///< all kinds but kDecision
    bool has_waited = false;            ///< for its decision
  };
  struct Settled {
    base::Instant at;
    Launch launch;
  };

  Child* find_or_append(const Key& key);
  void add_decision(const OrderEvent& event);
  void add_outcome(const OrderEvent& event);
  void settle(const OrderEvent& decision, const OrderEvent& outcome);
  void expire(base::Instant now);
  void remember(base::Instant at, const OrderEvent& decision, const OrderEvent* outcome);

  Options options_;
  std::unordered_map<Key, Child, KeyHash> children_;
  std::vector<Key> unsettled_;    ///< children that something has become of
  std::deque<Settled> launches_;  ///< in the order in which they were settled
  SendDelays delays_;
  Counters counters_;
  PowerCounts launch_errors_;
};

}  // namespace tidewaiter::telemetry
