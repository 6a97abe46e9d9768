// SPDX-License-Identifier: Apache-2.0
#include "kernel/connect_tables.h"

#include <algorithm>
#include <array>
#include <bpf/bpf.h>
#include <cerrno>
#include <cstring>
#include <set>

#include "kernel/connect_decode.h"

namespace tidewaiter::kernel {
namespace {

constexpr std::uint64_t kRetryWithinNs = 5'000'000'000;

/// Calls visit(key, value) for each entry of a map that allows to be read in batches.
template <class Key, class Value, class Visit>
base::Result<void> for_each_entry(int map, const Visit& visit) {
  constexpr __u32 kChunk = 64;
  std::vector<Key> keys(kChunk);
  std::vector<Value> values(kChunk);
  __u32 position = 0;
  for (bool is_first = true;; is_first = false) {
    __u32 count = kChunk;
    const int error = bpf_map_lookup_batch(map, is_first ? nullptr : &position, &position, keys.data(), values.data(),
                                           &count, nullptr);
    if (error != 0 && error != -ENOENT && errno != ENOENT) return base::fail_errno(errno, "read a table of connects");
    for (__u32 i = 0; i < count; ++i) visit(keys[i], values[i]);
    if (error != 0) return {};
  }
}

/// The same one by one, for small maps.
template <class Key, class Value, class Visit>
void for_each_key(int map, const Visit& visit) {
  Key key{};
  for (const Key* last = nullptr; bpf_map_get_next_key(map, last, &key) == 0; last = &key) {
    Value value{};
    if (bpf_map_lookup_elem(map, &key, &value) == 0) visit(key, value);
  }
}

bool is_same(const tw_connect_key& a, const tw_connect_key& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

__u32* bucket_of(tw_connect_totals& totals, const tw_duration_key& key) {
  if (key.bucket >= TW_LATENCY_BUCKETS) return nullptr;
  switch (key.what) {
    case TW_DURATION_CONNECT:
      return &totals.connect[key.bucket];
    case TW_DURATION_GAVE_UP:
      return &totals.gave_up[key.bucket];
    case TW_DURATION_SEARCH:
      return &totals.search[key.bucket];
    default:
      return nullptr;
  }
}

void add_duration(tw_connect_totals& totals, const tw_duration_key& key, std::uint64_t count) {
  if (__u32* const bucket = bucket_of(totals, key)) *bucket += static_cast<__u32>(count);
}

}  // namespace

ConnectTables::ConnectTables(const ConnectPrograms& programs)
    : programs_(&programs), connects_(programs.map("connects")), durations_map_(programs.map("durations")) {}

base::Result<void> ConnectTables::read(std::vector<ConnectEntry>& entries) {
  entries.clear();
  auto done = for_each_entry<tw_connect_key, tw_connect_totals>(
      connects_,
      [&](const tw_connect_key& key, const tw_connect_totals& totals) { entries.emplace_back(key, totals); });
  if (!done || durations_map_ < 0) return done;
  if (done = read_durations(); done) fold_durations(entries);
  return done;
}

base::Result<void> ConnectTables::read_durations() {
  durations_.clear();
  return for_each_entry<tw_duration_key, __u64>(
      durations_map_, [&](const tw_duration_key& key, __u64 count) { durations_.emplace_back(key, count); });
}

void ConnectTables::fold_durations(std::vector<ConnectEntry>& entries) const {
  const auto is_before = [](const ConnectEntry& entry, const tw_connect_key& key) {
    return std::memcmp(&entry.first, &key, sizeof key) < 0;
  };
  std::sort(entries.begin(), entries.end(),
            [&](const ConnectEntry& a, const ConnectEntry& b) { return is_before(a, b.first); });
  for (const auto& [key, count] : durations_) {
    auto place = std::lower_bound(entries.begin(), entries.end(), key.connect, is_before);
    // No room for its tuple: the others' entry, all zero, is the first.
    if (place == entries.end() || !is_same(place->first, key.connect)) place = entries.begin();
    if (place != entries.end()) add_duration(place->second, key, count);
  }
}

base::Result<void> ConnectTables::reserve(const tw_connect_key& key) const {
  const tw_connect_totals nothing{};
  if (bpf_map_update_elem(connects_, &key, &nothing, BPF_NOEXIST) != 0 && errno != EEXIST) {
    return base::fail_errno(errno, "make an entry in the table of connects");
  }
  return {};
}

std::uint64_t ConnectTables::attempts(const tw_connect_key& key) const {
  tw_connect_totals totals{};
  return bpf_map_lookup_elem(connects_, &key, &totals) == 0 ? totals.attempts : 0;
}

std::optional<tw_connect_totals> ConnectTables::take(const tw_connect_key& key) const {
  tw_connect_totals totals{};
  if (bpf_map_lookup_and_delete_elem(connects_, &key, &totals) != 0) return std::nullopt;
  for (const auto& [duration, ignored] : durations_) {
    __u64 count = 0;
    if (is_same(duration.connect, key) && bpf_map_lookup_and_delete_elem(durations_map_, &duration, &count) == 0) {
      add_duration(totals, duration, count);
    }
  }
  return totals;
}

std::vector<EnteredCall> ConnectTables::entered_calls() const {
  std::vector<EnteredCall> calls;
  std::set<std::uint64_t> threads;  // the walk begins again when the entry that it is at goes
  for_each_key<__u64, tw_entered_call>(programs_->map("entered"), [&](__u64 thread, const tw_entered_call& call) {
    if (!threads.insert(thread).second || is_canary(call.key)) return;
    const base::Instant began(base::Nanoseconds(static_cast<std::int64_t>(call.began_ns)));
    calls.push_back({thread, began, tuple_of(call.key)});
  });
  return calls;
}

bool ConnectTables::forget_call(const EnteredCall& call) const {
  const __u64 thread = call.thread;
  return bpf_map_delete_elem(programs_->map("entered"), &thread) == 0;
}

std::vector<telemetry::ListenerHandshakes> ConnectTables::listeners() const {
  std::vector<telemetry::ListenerHandshakes> listeners;
  for_each_key<tw_listener_key, tw_listener_totals>(
      programs_->map("listeners"), [&](const tw_listener_key& key, const tw_listener_totals& totals) {
        telemetry::Address::Bytes address;
        std::copy(std::begin(key.address), std::end(key.address), address.begin());
        listeners.push_back(
            {telemetry::Address::v6(address), key.port, totals.synack_retransmits, totals.dropped_final_acks});
      });
  return listeners;
}

std::map<std::string, std::uint64_t> ConnectTables::lost() const {
  constexpr std::array<const char*, TW_LOST_COUNTERS> kNames = {
      "bpf_ring", "bpf_in_flight", "bpf_tuples", "bpf_retry_memory", "bpf_listeners", "bpf_entered", "bpf_durations"};
  std::map<std::string, std::uint64_t> lost;
  for (__u32 i = 0; i < TW_LOST_COUNTERS; ++i) {
    __u64 count = 0;
    if (bpf_map_lookup_elem(programs_->map("lost"), &i, &count) == 0) lost[kNames.at(i)] = count;
  }
  lost["bpf_skipped_runs"] = programs_->skipped_runs();
  return lost;
}

bool ConnectTables::forget_old_failures() const {
  const std::uint64_t now_ns = monotonic_ns();
  const int map = programs_->map("retry_credits");
  std::vector<tw_retry_key> old;
  bool has_young = false;
  for_each_key<tw_retry_key, tw_retry_credit>(map, [&](const tw_retry_key& key, const tw_retry_credit& credit) {
    if (credit.last_failure_ns + kRetryWithinNs < now_ns) {
      old.push_back(key);
    } else {
      has_young = true;
    }
  });
  for (const tw_retry_key& entry : old) bpf_map_delete_elem(map, &entry);
  return has_young;
}

void ConnectTables::forget_retries() const {
  std::uint64_t& open_credits = *programs_->settings().open_credits;
  if (open_credits == 0 || forget_old_failures()) return;
  // Looked for once more afterwards: one that came meanwhile found the flag still set.
  open_credits = 0;
  if (forget_old_failures()) open_credits = 1;
}

}  // namespace tidewaiter::kernel
