// SPDX-License-Identifier: Apache-2.0
#include "telemetry/connect_tracker.h"

#include <algorithm>
#include <cmath>

namespace tidewaiter::telemetry {
namespace {

constexpr base::Nanoseconds kSessionMemory = base::Seconds(60);
constexpr base::Nanoseconds kProcessMemory = base::Seconds(60);
constexpr base::Nanoseconds kRetryWindow = base::Seconds(5);
constexpr base::Nanoseconds kRetriesBegin = base::Seconds(2);  // any beginning is a bunch
constexpr std::size_t kMostProcessesRemembered = 64;

double seconds(base::Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

std::vector<std::pair<std::uint16_t, std::uint32_t>> sparse(const LatencyCounts& counts) {
  std::vector<std::pair<std::uint16_t, std::uint32_t>> result;
  for (std::size_t i = 0; i < LatencyCounts::kBuckets; ++i) {
    if (counts.counts()[i] != 0) result.emplace_back(static_cast<std::uint16_t>(i), counts.counts()[i]);
  }
  return result;
}

void add(const std::vector<std::pair<std::uint16_t, std::uint32_t>>& counts, LatencyCounts::Counts& sum) {
  for (const auto& [bucket, count] : counts) sum[bucket] += count;
}

Percentile percentile(const Quantile& quantile, std::uint64_t count) {
  return {std::chrono::duration<double, std::micro>(quantile.value).count(), static_cast<std::uint32_t>(count)};
}

ConnectCounts counts_of(const ConnectTotals& delta) {
  ConnectCounts counts;
  counts.failed_local = static_cast<std::uint32_t>(delta.failed_local());
  counts.failed_peer = static_cast<std::uint32_t>(delta.failed_peer());
  counts.failed_other = static_cast<std::uint32_t>(delta.failed_other());
  counts.attempts =
      static_cast<std::uint32_t>(delta.established + delta.count(ConnectCause::kAborted)) + counts.failed();
  return counts;
}

}  // namespace

void ConnectTracker::on_event(const ConnectEvent& event) {
  History& history = histories_[event.tuple];
  if (event.kind == ConnectEvent::Kind::kRetry) {
    if (!history.retries) {
      history.retries = std::make_unique<BurstIndex>();
      history.retrying_since = event.at;
    }
    history.retries->add(event.at);
  }
  if (history.processes.size() >= kMostProcessesRemembered && history.processes.count(event.pid) == 0) return;
  ConnectProcess& process = history.processes[event.pid];
  process.pid = event.pid;
  process.command = event.command;
  process.last = std::max(process.last, event.at);
  switch (event.kind) {
    case ConnectEvent::Kind::kFailed:
      ++process.failures;
      break;
    case ConnectEvent::Kind::kSlow:
      ++process.slow;
      break;
    case ConnectEvent::Kind::kRetry:
      ++process.retries;
      break;
  }
}

void ConnectTracker::observe(const ConnectReading& reading) {
  elapsed_.reset();
  if (last_reading_ && reading.at > *last_reading_) elapsed_ = reading.at - *last_reading_;
  last_reading_ = reading.at;
  connects_.at = reading.at;
  connects_.other = reading.other;
  connects_.listeners = reading.listeners;
  connects_.lost = reading.lost;
  ConnectTotals all = reading.other.value_or(ConnectTotals{});
  for (const auto& [tuple, totals] : reading.tuples) {
    all += totals;
    fold(tuple, totals, reading.at);
  }
  connects_.window.reset();
  if (elapsed_) connects_.window = all - connects_.totals;
  connects_.totals = all;
}

void ConnectTracker::note_sessions(const Sample& sample) {
  for (const TupleSample& tuple : sample.tuples) {
    if (tuple.counts.live == tuple.counts.syn_sent) continue;
    if (const auto history = histories_.find(tuple.tuple); history != histories_.end()) {
      history->second.last_session = sample.at.steady;
    }
  }
}

void ConnectTracker::fold(const Tuple& tuple, const ConnectTotals& totals, base::Instant now) {
  History& history = histories_[tuple];
  TupleConnects& connects = connects_.tuples[tuple];
  const bool is_idle = history.durations.empty() && history.retry_windows.empty() && history.processes.empty();
  if (elapsed_ && is_idle && totals == history.last) {
    connects.window = {};
    connects.window_established = connects.window_timeouts = connects.window_syn_retransmits = 0;
    connects.window_retries = connects.window_portless = 0;
    connects.attempts_per_s = connects.reconnects_per_s = connects.search_cores = 0;
    return;
  }
  const ConnectTotals delta = totals - history.last;
  history.last = totals;
  connects.totals = totals;
  if (!elapsed_) {
    if (delta.established > 0) history.last_session = now;
    return;
  }
  connects.window = counts_of(delta);
  connects.window_established = delta.established;
  connects.window_timeouts = delta.count(ConnectCause::kTimeout);
  connects.window_syn_retransmits = delta.syn_retransmits;
  connects.window_retries = delta.retries;
  connects.window_portless = delta.count(ConnectCause::kAddrNotAvailable);
  history.pool.add(now, connects.window);
  connects.pooled = history.pool.pooled(now);
  pool(history, delta, connects.window.attempts, now);
  read_quantiles(history, connects);
  read_bursts(history, delta.retries, now, connects);
  connects.attempts_per_s = connects.window.attempts / seconds(*elapsed_);
  connects.search_cores = seconds(delta.search_time) / seconds(*elapsed_);
  const bool had_session = history.last_session && now - *elapsed_ - *history.last_session <= kSessionMemory;
  const std::uint64_t reconnects = had_session ? delta.attempts : 0;
  connects.reconnects += reconnects;
  connects.reconnects_per_s = static_cast<double>(reconnects) / seconds(*elapsed_);
  if (delta.established > 0) history.last_session = now;
  list_processes(history, now, connects);
}

void ConnectTracker::pool(History& history, const ConnectTotals& delta, std::uint64_t ended, base::Instant now) {
  auto& windows = history.durations;
  while (!windows.empty() && now - windows.front().end > ConnectPool::kFarthest) windows.pop_front();
  if (ended == 0 && delta.search.total() == 0) return;
  windows.push_back({now, ended, delta.retries, sparse(delta.connect), sparse(delta.given_up), sparse(delta.search)});
  std::uint64_t enough = 0;
  std::size_t kept = 0;
  for (auto window = windows.rbegin(); window != windows.rend() && enough < ConnectPool::kEnough; ++window, ++kept) {
    enough += window->ended;
  }
  windows.erase(windows.begin(), windows.end() - static_cast<std::ptrdiff_t>(kept));
}

void ConnectTracker::read_quantiles(const History& history, TupleConnects& connects) {
  LatencyCounts::Counts connect{};
  LatencyCounts::Counts given_up{};
  LatencyCounts::Counts search{};
  std::uint64_t ended = 0;
  std::uint64_t retries = 0;
  for (const Durations& window : history.durations) {
    add(window.connect, connect);
    add(window.given_up, given_up);
    add(window.search, search);
    ended += window.ended;
    retries += window.retries;
  }
  const LatencyCounts all_connect(connect);
  const LatencyCounts all_given_up(given_up);
  const LatencyCounts all_search(search);
  connects.connect_count = all_connect.total() + all_given_up.total();
  connects.search_count = all_search.total();
  connects.connect_p95 = quantile(all_connect, all_given_up, 0.95);
  connects.connect_p99 = quantile(all_connect, all_given_up, 0.99);
  connects.search_p95 = quantile(all_search, {}, 0.95);
  connects.search_p99 = quantile(all_search, {}, 0.99);
  connects.retries_per_attempt.reset();
  if (ended > retries)
    connects.retries_per_attempt = static_cast<double>(retries) / static_cast<double>(ended - retries);
}

void ConnectTracker::read_bursts(History& history, std::uint64_t retries, base::Instant now,
                                 TupleConnects& connects) const {
  auto& windows = history.retry_windows;
  if (retries > 0) windows.emplace_back(now, retries);
  // As many whole windows as make five seconds: their ends are never quite as far apart as they should be.
  const auto whole = std::max(1.0, std::round(seconds(kRetryWindow) / seconds(*elapsed_)));
  while (!windows.empty() && seconds(now - windows.front().first) > (whole - 0.5) * seconds(*elapsed_)) {
    windows.pop_front();
  }
  std::uint64_t recent = 0;
  for (const auto& [end, count] : windows) recent += count;
  connects.retries_per_s = static_cast<double>(recent) / (whole * seconds(*elapsed_));
  connects.bursts = {};
  connects.burst_index.reset();
  if (windows.empty()) history.retries.reset();
  if (!history.retries) return;
  for (const BurstWidth width : kBurstWidths) {
    connects.bursts.at(static_cast<std::size_t>(width)) = history.retries->index(width, now).value;
  }
  if (now - history.retrying_since < kRetriesBegin) return;
  if (const auto headline = history.retries->headline(now)) connects.burst_index = headline->value;
}

void ConnectTracker::list_processes(History& history, base::Instant now, TupleConnects& connects) {
  connects.processes.clear();
  for (auto process = history.processes.begin(); process != history.processes.end();) {
    if (now - process->second.last > kProcessMemory) {
      process = history.processes.erase(process);
      continue;
    }
    connects.processes.push_back(process->second);
    ++process;
  }
  std::sort(connects.processes.begin(), connects.processes.end(), [](const auto& left, const auto& right) {
    return std::pair(left.failures, left.slow) > std::pair(right.failures, right.slow);
  });
  if (connects.processes.size() > TupleConnects::kMostProcesses) {
    connects.processes.resize(TupleConnects::kMostProcesses);
  }
}

std::vector<Tuple> ConnectTracker::busy() const {
  std::vector<Tuple> tuples;
  for (const auto& [tuple, connects] : connects_.tuples) {
    if (connects.pooled) tuples.push_back(tuple);
  }
  return tuples;
}

void ConnectTracker::add_to(const Tuple& tuple, Features& features) const {
  if (!elapsed_) return;
  const TupleConnects* connects = connects_.find(tuple);
  features.connects = connects == nullptr ? ConnectCounts{} : connects->window;
  features.reconnects_per_s = connects == nullptr ? 0 : connects->reconnects_per_s;
  if (connects == nullptr) return;
  features.pooled_connects = connects->pooled;
  if (connects->connect_p95) features.connect_time = percentile(*connects->connect_p95, connects->connect_count);
  if (connects->search_p95) features.port_search_time = percentile(*connects->search_p95, connects->search_count);
  features.burst_index = connects->burst_index;
}

}  // namespace tidewaiter::telemetry
