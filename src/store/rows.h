// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tidewaiter::store {

/// What a row is about: one destination tuple, or the whole host (then `scope` is "host" and the rest is empty or 0).
struct Subject {
  std::string scope = "host";
  std::string netns;
  std::string src;
  std::string dst;
  int dport = 0;

  friend bool operator==(const Subject&, const Subject&) = default;
};

/// One subject in one window. What is not known is absent. All rows of a window share `window` and `at_ns`, and one of
/// them has the scope "host": searches by time go by it.
struct WindowRow {
  std::uint64_t window = 0;  ///< number since the journal began: the order, also when the clock steps back
  std::int64_t at_ns = 0;    ///< Unix time
  Subject subject;
  std::string state;
  std::string enforced_state;
  int severity = 0;  ///< rank of `state`: a roll-up keeps the state of the greatest
  bool stale = false;
  std::optional<double> p_stress, ppr, ppr_preferred, twr;
  std::optional<double> live, time_wait, free;
  std::optional<double> demand_per_s, time_to_cliff_s, time_to_exhaustion_s;
  std::optional<double> cfr, cfr_local, attempts, ctl95_us, rbi;
  std::string model;
  std::string parameters;  ///< JSON
  std::string reasons;     ///< JSON
  /// Connects that ended in this window alone (sums over rows are totals), while `attempts` and the ratios beside it
  /// are of as many windows as it takes to judge.
  std::optional<double> established, failed_local, failed_peer, failed_other;
  std::optional<double> addr_not_available, timeouts, retries, syn_retransmits;  ///< the first two: of the failed ones
  std::optional<double> reconnects_per_s, ctl99_us, port_search_p95_us, dsd95_us, retry_queue_depth;
};

/// One change of a state.
struct TransitionRow {
  std::int64_t at_ns = 0;
  std::uint64_t window = 0;  ///< the window in which it happened
  Subject subject;
  std::string from;
  std::string to;
  std::string trigger;
  std::string mode_connection;
  std::string mode_order;
  bool enforced = false;
  std::string reasons;  ///< JSON
};

/// Several windows of one subject: a maximal run of consecutive windows whose time lies in one bucket. A clock that
/// steps back gives a second run for the same bucket. `at_ns` is the bucket's start.
struct RollUpRow {
  std::uint64_t window = 0;       ///< first of the run
  std::uint64_t last_window = 0;  ///< last of the run
  std::int64_t at_ns = 0;
  Subject subject;
  std::string worst_state;
  int worst_severity = 0;
  std::int64_t windows = 0;    ///< in which the subject has a row
  std::int64_t p_windows = 0;  ///< of those, in which p_stress is known
  std::optional<double> p_mean, p_max, ppr_max, free_min, time_to_exhaustion_min_s, demand_max_per_s;
  std::optional<double> established, failed_local, failed_peer,
      failed_other;  ///< sums over the windows in which they are known
  std::optional<double> port_search_p95_max_us;
};

/// Calls `visit(column, field)` for every field of a row, in the order of the columns: the one list from which rows are
/// written and read.
template <class SubjectOf, class Visit>
void for_each_subject_field(SubjectOf& subject, const Visit& visit) {
  visit("scope", subject.scope);
  visit("netns", subject.netns);
  visit("src", subject.src);
  visit("dst", subject.dst);
  visit("dport", subject.dport);
}

template <class Row, class Visit>
void for_each_window_field(Row& row, const Visit& visit) {
  visit("window", row.window);
  visit("at_ns", row.at_ns);
  for_each_subject_field(row.subject, visit);
  visit("state", row.state);
  visit("enforced_state", row.enforced_state);
  visit("severity", row.severity);
  visit("stale", row.stale);
  visit("p_stress", row.p_stress);
  visit("ppr", row.ppr);
  visit("ppr_preferred", row.ppr_preferred);
  visit("twr", row.twr);
  visit("live", row.live);
  visit("time_wait", row.time_wait);
  visit("free", row.free);
  visit("demand_per_s", row.demand_per_s);
  visit("time_to_cliff_s", row.time_to_cliff_s);
  visit("time_to_exhaustion_s", row.time_to_exhaustion_s);
  visit("cfr", row.cfr);
  visit("cfr_local", row.cfr_local);
  visit("attempts", row.attempts);
  visit("ctl95_us", row.ctl95_us);
  visit("rbi", row.rbi);
  visit("model", row.model);
  visit("parameters", row.parameters);
  visit("reasons", row.reasons);
  visit("established", row.established);
  visit("failed_local", row.failed_local);
  visit("failed_peer", row.failed_peer);
  visit("failed_other", row.failed_other);
  visit("addr_not_available", row.addr_not_available);
  visit("timeouts", row.timeouts);
  visit("retries", row.retries);
  visit("syn_retransmits", row.syn_retransmits);
  visit("reconnects_per_s", row.reconnects_per_s);
  visit("ctl99_us", row.ctl99_us);
  visit("port_search_p95_us", row.port_search_p95_us);
  visit("dsd95_us", row.dsd95_us);
  visit("retry_queue_depth", row.retry_queue_depth);
}

template <class Row, class Visit>
void for_each_transition_field(Row& row, const Visit& visit) {
  visit("at_ns", row.at_ns);
  visit("window", row.window);
  for_each_subject_field(row.subject, visit);
  visit("from_state", row.from);
  visit("to_state", row.to);
  visit("trigger", row.trigger);
  visit("mode_connection", row.mode_connection);
  visit("mode_order", row.mode_order);
  visit("enforced", row.enforced);
  visit("reasons", row.reasons);
}

template <class Row, class Visit>
void for_each_roll_up_field(Row& row, const Visit& visit) {
  visit("window", row.window);
  visit("last_window", row.last_window);
  visit("at_ns", row.at_ns);
  for_each_subject_field(row.subject, visit);
  visit("worst_state", row.worst_state);
  visit("worst_severity", row.worst_severity);
  visit("windows", row.windows);
  visit("p_windows", row.p_windows);
  visit("p_mean", row.p_mean);
  visit("p_max", row.p_max);
  visit("ppr_max", row.ppr_max);
  visit("free_min", row.free_min);
  visit("time_to_exhaustion_min_s", row.time_to_exhaustion_min_s);
  visit("demand_max_per_s", row.demand_max_per_s);
  visit("established", row.established);
  visit("failed_local", row.failed_local);
  visit("failed_peer", row.failed_peer);
  visit("failed_other", row.failed_other);
  visit("port_search_p95_max_us", row.port_search_p95_max_us);
}

}  // namespace tidewaiter::store
