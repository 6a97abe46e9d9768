// SPDX-License-Identifier: Apache-2.0
#include "kernel/connect_probe.h"

#include <algorithm>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <set>
#include <skeletons/connects.skel.h>
#include <skeletons/connects_raw.skel.h>
#include <span>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unordered_map>
#include <utility>

#include "kernel/bpf_program.h"
#include "kernel/connect_decode.h"
#include "kernel/early_failures.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace tidewaiter::kernel {
namespace {

using telemetry::ConnectReading;
using telemetry::ConnectTotals;

constexpr std::uint64_t kRetryWithinNs = 5'000'000'000;
constexpr base::Nanoseconds kErrnoWindow = base::Seconds(2);

/// A program and the source that it is a part of.
struct ProgramRow {
  const char* program;
  const char* source;
  bool is_required;  ///< without it the source is off
};
constexpr std::array<ProgramRow, 8> kPrograms{{{"on_state", "bpf_state", true},
                                               {"on_destroy", "bpf_state_repair", true},
                                               {"on_retransmit", "bpf_syn_retransmits", true},
                                               {"on_error_report", "bpf_icmp_errors", true},
                                               {"on_retransmit_synack", "bpf_synack_retransmits", true},
                                               {"on_drop", "bpf_dropped_acks", true},
                                               {"on_connect4", "bpf_connect", true},
                                               {"on_connect6", "bpf_connect", true}}};

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

/// The object, and where its global variables are.
struct Object {
  std::shared_ptr<void> owner;
  bpf_object* object = nullptr;
  __u32* watched_netns = nullptr;
  __u64* watched_cookie = nullptr;
  __u64* slow_ns = nullptr;
  __u64* open_credits = nullptr;

  [[nodiscard]] int map(const char* name) const { return bpf_object__find_map_fd_by_name(object, name); }
  [[nodiscard]] bpf_program* program(const char* name) const { return bpf_object__find_program_by_name(object, name); }
};

/// The functions of one skeleton.
template <auto Open, auto Load, auto Destroy>
base::Result<Object> load_skeleton(const std::set<std::string>& programs, const ConnectProbeOptions& options) {
  const BpfMessages messages;
  const auto refused = [&](int error) {
    return base::fail(base::ErrorCode::kUnavailable, what_is_missing(error, messages.text()));
  };
  auto* const skeleton = Open();
  if (skeleton == nullptr) return refused(errno);
  std::shared_ptr<void> owner(static_cast<void*>(skeleton), [skeleton](void*) { Destroy(skeleton); });
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    bpf_program__set_autoload(program, programs.count(bpf_program__name(program)) != 0);
  }
  bpf_map__set_max_entries(skeleton->maps.connects, static_cast<__u32>(options.max_tuples + 1));
  if (const int error = Load(skeleton); error != 0) return refused(-error);
  return Object{std::move(owner),
                skeleton->obj,
                const_cast<__u32*>(&skeleton->bss->watched_netns),
                const_cast<__u64*>(&skeleton->bss->watched_cookie),
                const_cast<__u64*>(&skeleton->data->slow_ns),
                &skeleton->bss->open_credits};
}

using Loader = base::Result<Object> (*)(const std::set<std::string>&, const ConnectProbeOptions&);
constexpr Loader kTyped = load_skeleton<connects_bpf__open, connects_bpf__load, connects_bpf__destroy>;
constexpr Loader kRaw = load_skeleton<connects_raw_bpf__open, connects_raw_bpf__load, connects_raw_bpf__destroy>;

/// What could be loaded, and by program why the others could not.
struct Loaded {
  std::optional<Object> object;
  std::map<std::string, std::string> missing;
};

/// All at once; when that fails each alone, and then those that could be.
Loaded load_what_goes(Loader load, std::set<std::string> programs, const ConnectProbeOptions& options) {
  Loaded loaded;
  if (auto all = load(programs, options); all) {
    loaded.object = std::move(*all);
    return loaded;
  }
  for (auto program = programs.begin(); program != programs.end();) {
    const auto alone = load({*program}, options);
    if (!alone) loaded.missing.emplace(*program, alone.error().message());
    program = alone ? std::next(program) : programs.erase(program);
  }
  if (programs.count("on_state") == 0) return loaded;
  if (auto some = load(programs, options); some) loaded.object = std::move(*some);
  return loaded;
}

}  // namespace

class ConnectProbe::Programs {
 public:
  explicit Programs(ConnectProbeOptions options) : options_(options) {}

  base::Result<void> attach(const NetworkNamespace& network_namespace, SourceTable& table);
  base::Result<void> watch(const NetworkNamespace& network_namespace);
  base::Result<ConnectReading> read(base::Instant now);
  base::Result<void> open_errno_window(base::Instant now);
  std::uint64_t drain(const Visitor& visit);
  [[nodiscard]] int descriptor() const { return ring_buffer__epoll_fd(ring_.get()); }
  [[nodiscard]] bool sees_dropped_acks() const { return sees_dropped_acks_; }

 private:
  using Entries = std::vector<std::pair<tw_connect_key, tw_connect_totals>>;

  /// Loads what can be loaded; the reason by program of what cannot.
  std::map<std::string, std::string> load();
  void attach_all(std::map<std::string, std::string>& missing);
  base::Result<void> read_entries(Entries& entries) const;
  void count_early_failures(base::Instant now);
  void add_early_failures(std::map<telemetry::Tuple, ConnectTotals>& tuples) const;
  void add_lost(ConnectReading& reading) const;
  void add_listeners(ConnectReading& reading) const;
  [[nodiscard]] bool forget_old_failures() const;
  void forget_retries() const;
  void retire_idle(const Entries& entries, base::Instant now);
  void close_errno_window();
  static int on_event(void* self, void* bytes, size_t size);

  ConnectProbeOptions options_;
  Object object_;
  std::vector<BpfLink> links_;
  BpfLink errno_link_;
  base::Instant errno_window_ends_{};
  bool has_connect_hook_ = false;
  bool sees_dropped_acks_ = false;
  std::unique_ptr<ring_buffer, RingCloser> ring_;
  const Visitor* visitor_ = nullptr;
  std::uint64_t malformed_ = 0;
  EarlyFailures early_failures_;
  struct Activity {
    std::uint64_t syn_sent = 0;
    base::Instant since{};
  };
  std::map<telemetry::Tuple, Activity> activity_;
  std::map<telemetry::Tuple, ConnectTotals> retired_;  ///< totals of tuples that made room
  Entries entries_;
};

std::map<std::string, std::string> ConnectProbe::Programs::load() {
  std::set<std::string> programs{"on_exit_connect"};
  for (const ProgramRow& row : kPrograms) programs.insert(row.program);
  Loaded typed = load_what_goes(kTyped, programs, options_);
  if (typed.object) {
    object_ = std::move(*typed.object);
    return typed.missing;
  }
  // Before Linux 5.5 there are no BTF-typed tracepoints. The raw ones have no connect hook beside them.
  for (const char* program : {"on_exit_connect", "on_connect4", "on_connect6"}) programs.erase(program);
  Loaded raw = load_what_goes(kRaw, programs, options_);
  if (!raw.object) return typed.missing;
  object_ = std::move(*raw.object);
  for (const char* program : {"on_connect4", "on_connect6"}) raw.missing[program] = "Linux 5.5 or later";
  return raw.missing;
}

void ConnectProbe::Programs::attach_all(std::map<std::string, std::string>& missing) {
  const BpfMessages messages;
  for (const ProgramRow& row : kPrograms) {
    bpf_program* const program = object_.program(row.program);
    if (program == nullptr || missing.count(row.program) != 0) continue;
    bpf_link* link = nullptr;
    if (std::string_view(row.source) == "bpf_connect") {
      const auto cgroup = open_cgroup_root();
      if (!cgroup) {
        missing[row.program] = "the root of the cgroup v2 hierarchy";
        continue;
      }
      link = bpf_program__attach_cgroup(program, cgroup->get());
    } else {
      link = bpf_program__attach(program);
    }
    if (link == nullptr) {
      missing[row.program] = what_is_missing(errno, messages.text());
      continue;
    }
    links_.emplace_back(link);
  }
}

base::Result<void> ConnectProbe::Programs::attach(const NetworkNamespace& network_namespace, SourceTable& table) {
  std::map<std::string, std::string> missing;
  const auto refuse_all = [&](const std::string& reason) {
    for (const ProgramRow& row : kPrograms) missing[row.program] = reason;
  };
  const std::string unprivileged = missing_capabilities({"CAP_BPF", "CAP_PERFMON"});
  if (options_.hooks == ConnectHooks::kOff) {
    refuse_all("connects.hooks = \"automatic\" in the configuration");
  } else if (!unprivileged.empty()) {
    refuse_all(unprivileged);
  } else {
    missing = load();
    if (object_.object == nullptr) refuse_all(missing.empty() ? "memory for its maps" : missing.begin()->second);
  }
  const std::string no_admin = missing_capabilities({"CAP_NET_ADMIN"});
  if (object_.object != nullptr) attach_all(missing);
  if (!no_admin.empty()) missing["on_connect4"] = missing["on_connect6"] = no_admin;
  has_connect_hook_ = missing.count("on_connect4") == 0 && missing.count("on_connect6") == 0;

  sees_dropped_acks_ = missing.count("on_drop") == 0;

  std::map<std::string, SourceRow> rows;
  for (const ProgramRow& row : kPrograms) {
    auto& capability = rows.try_emplace(row.source, SourceRow{row.source, 1, true, ""}).first->second;
    const auto reason = missing.find(row.program);
    if (reason == missing.end()) continue;
    capability.is_active = false;
    capability.needs = reason->second;
  }
  for (const char* source : {"bpf_state", "bpf_connect", "bpf_state_repair", "bpf_syn_retransmits", "bpf_icmp_errors",
                             "bpf_synack_retransmits", "bpf_dropped_acks"}) {
    table.push_back(rows.at(source));
  }
  if (!rows.at("bpf_state").is_active) {
    return base::fail(base::ErrorCode::kNotPermitted,
                      fmt::format("connects cannot be seen: needs {}", rows.at("bpf_state").needs));
  }
  ring_.reset(ring_buffer__new(object_.map("events"), on_event, this, nullptr));
  if (!ring_) return base::fail_errno(errno, "map the ring of events");
  const tw_connect_key other{};
  const tw_connect_totals nothing{};
  if (bpf_map_update_elem(object_.map("connects"), &other, &nothing, BPF_ANY) != 0) {
    return base::fail_errno(errno, "make room for other connects");
  }
  *object_.slow_ns = static_cast<__u64>(options_.slow.count());
  return watch(network_namespace);
}

base::Result<void> ConnectProbe::Programs::watch(const NetworkNamespace& network_namespace) {
  const auto identity = identity_of(network_namespace);
  if (!identity) return tl::unexpected(identity.error());
  *object_.watched_netns = identity->inode;
  *object_.watched_cookie = identity->cookie;
  return {};
}

int ConnectProbe::Programs::on_event(void* self, void* bytes, size_t size) {
  auto& programs = *static_cast<Programs*>(self);
  const auto event = event_of({static_cast<const std::byte*>(bytes), size});
  if (event) {
    (*programs.visitor_)(*event);
  } else {
    ++programs.malformed_;
  }
  return 0;
}

std::uint64_t ConnectProbe::Programs::drain(const Visitor& visit) {
  visitor_ = &visit;
  const int consumed = ring_buffer__consume(ring_.get());
  return consumed > 0 ? static_cast<std::uint64_t>(consumed) : 0;
}

base::Result<void> ConnectProbe::Programs::read_entries(Entries& entries) const {
  constexpr __u32 kChunk = 64;
  entries.clear();
  std::vector<tw_connect_key> keys(kChunk);
  std::vector<tw_connect_totals> values(kChunk);
  const int map = object_.map("connects");
  __u32 position = 0;
  for (bool is_first = true;; is_first = false) {
    __u32 count = kChunk;
    const int error = bpf_map_lookup_batch(map, is_first ? nullptr : &position, &position, keys.data(), values.data(),
                                           &count, nullptr);
    if (error != 0 && error != -ENOENT && errno != ENOENT) return base::fail_errno(errno, "read the table of connects");
    for (__u32 i = 0; i < count; ++i) entries.emplace_back(keys[i], values[i]);
    if (error != 0) return {};
  }
}

/// After the entries were read.
void ConnectProbe::Programs::count_early_failures(base::Instant now) {
  EarlyFailures::Counts counted;
  for (const auto& [key, totals] : entries_) {
    if (totals.failed_early > 0 && !is_other(key)) counted[tuple_of(key)] += totals.failed_early;
  }
  const int map = object_.map("entered");
  std::vector<EnteredCall> calls;
  std::set<std::uint64_t> threads;  // the walk begins again when the entry that it is at goes
  __u64 thread = 0;
  for (const __u64* last = nullptr; bpf_map_get_next_key(map, last, &thread) == 0; last = &thread) {
    tw_entered_call call{};
    if (bpf_map_lookup_elem(map, &thread, &call) != 0 || !threads.insert(thread).second) continue;
    calls.push_back(
        {thread, base::Instant(base::Nanoseconds(static_cast<std::int64_t>(call.began_ns))), tuple_of(call.key)});
  }
  early_failures_.update(counted, calls, now);
  for (const EnteredCall& call : calls) {
    const auto id = static_cast<pid_t>(call.thread & 0xffff'ffff);
    if (now - call.began < EarlyFailures::kSurelyOver || ::kill(id, 0) == 0 || errno != ESRCH) continue;
    if (bpf_map_delete_elem(map, &call.thread) == 0) early_failures_.bury(call);
  }
}

void ConnectProbe::Programs::add_early_failures(std::map<telemetry::Tuple, ConnectTotals>& tuples) const {
  for (const auto& [destination, failed] : early_failures_.failed()) {
    ConnectTotals& totals = tuples[destination];
    totals.attempts += failed;
    totals.pre_syn_unattributed += failed;
  }
  // What the errno window told.
  for (const auto& [key, wire] : entries_) {
    if (wire.unreachable_early + wire.prohibited_early == 0 || is_other(key)) continue;
    ConnectTotals& totals = tuples[tuple_of(key)];
    const std::uint64_t told = std::min<std::uint64_t>(wire.unreachable_early + wire.prohibited_early,
                                                       totals.pre_syn_unattributed);  // an entry is not read at once
    totals.ended[static_cast<std::size_t>(telemetry::ConnectCause::kUnreachable)] += told;
    totals.prohibited += std::min<std::uint64_t>(told, wire.prohibited_early);
    totals.pre_syn_unattributed -= told;
  }
}

base::Result<ConnectReading> ConnectProbe::Programs::read(base::Instant now) {
  if (errno_link_ && now >= errno_window_ends_) close_errno_window();
  if (auto done = read_entries(entries_); !done) return tl::unexpected(done.error());
  if (has_connect_hook_) count_early_failures(now);
  ConnectReading reading;
  reading.at = now;
  std::map<telemetry::Tuple, ConnectTotals> tuples = retired_;
  for (const auto& [key, wire] : entries_) {
    ConnectTotals totals = totals_of(wire);
    if (is_other(key)) {
      totals.attempts += wire.failed_early;
      totals.pre_syn_unattributed += wire.failed_early;
      if (totals != ConnectTotals{}) reading.other = totals;
      continue;
    }
    if (totals != ConnectTotals{}) tuples[tuple_of(key)] += totals;
  }
  add_early_failures(tuples);
  reading.tuples.reserve(tuples.size());
  for (auto& [tuple, totals] : tuples) reading.tuples.push_back({tuple, totals});
  add_listeners(reading);
  add_lost(reading);
  forget_retries();
  retire_idle(entries_, now);
  return reading;
}

void ConnectProbe::Programs::add_listeners(ConnectReading& reading) const {
  const int map = object_.map("listeners");
  tw_listener_key key{};
  for (const tw_listener_key* last = nullptr; bpf_map_get_next_key(map, last, &key) == 0; last = &key) {
    tw_listener_totals totals{};
    if (bpf_map_lookup_elem(map, &key, &totals) != 0) continue;
    telemetry::Address::Bytes address;
    std::copy(std::begin(key.address), std::end(key.address), address.begin());
    reading.listeners.push_back(
        {telemetry::Address::v6(address), key.port, totals.synack_retransmits, totals.dropped_final_acks});
  }
}

void ConnectProbe::Programs::add_lost(ConnectReading& reading) const {
  constexpr std::array<const char*, TW_LOST_COUNTERS> kNames = {"bpf_ring",         "bpf_in_flight", "bpf_tuples",
                                                                "bpf_retry_memory", "bpf_listeners", "bpf_entered"};
  for (__u32 i = 0; i < TW_LOST_COUNTERS; ++i) {
    __u64 count = 0;
    if (bpf_map_lookup_elem(object_.map("lost"), &i, &count) == 0) reading.lost[kNames.at(i)] = count;
  }
  std::uint64_t skipped = 0;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object_.object) {
    const int descriptor = bpf_program__fd(program);
    bpf_prog_info info{};
    __u32 size = sizeof info;
    if (descriptor >= 0 && bpf_obj_get_info_by_fd(descriptor, &info, &size) == 0) skipped += info.recursion_misses;
  }
  reading.lost["bpf_skipped_runs"] = skipped;
  reading.lost["bpf_malformed"] = malformed_;
}

/// Failures older than five seconds make no retry. True when there are younger ones.
bool ConnectProbe::Programs::forget_old_failures() const {
  timespec clock{};
  clock_gettime(CLOCK_MONOTONIC, &clock);
  const auto now_ns =
      static_cast<std::uint64_t>(clock.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(clock.tv_nsec);
  const int map = object_.map("retry_credits");
  std::vector<tw_retry_key> old;
  tw_retry_key key{};
  bool has_young = false;
  for (const tw_retry_key* last = nullptr; bpf_map_get_next_key(map, last, &key) == 0; last = &key) {
    tw_retry_credit credit{};
    if (bpf_map_lookup_elem(map, &key, &credit) != 0) continue;
    if (credit.last_failure_ns + kRetryWithinNs < now_ns) {
      old.push_back(key);
    } else {
      has_young = true;
    }
  }
  for (const tw_retry_key& entry : old) bpf_map_delete_elem(map, &entry);
  return has_young;
}

/// Without any failure that can be answered, the programs need not look for one. Looked for once more afterwards: one
/// that came meanwhile found the flag still set.
void ConnectProbe::Programs::forget_retries() const {
  if (*object_.open_credits == 0 || forget_old_failures()) return;
  *object_.open_credits = 0;
  if (forget_old_failures()) *object_.open_credits = 1;
}

void ConnectProbe::Programs::retire_idle(const Entries& entries, base::Instant now) {
  const int map = object_.map("connects");
  const bool is_full = entries.size() * 4 > (options_.max_tuples + 1) * 3;
  for (const auto& [key, totals] : entries) {
    if (is_other(key) || totals.failed_early > 0) continue;
    const telemetry::Tuple tuple = tuple_of(key);
    Activity& activity = activity_[tuple];
    if (activity.syn_sent != totals.syn_sent || activity.since == base::Instant{}) activity = {totals.syn_sent, now};
    if (!is_full || now - activity.since < options_.retire_after) continue;
    tw_connect_totals last{};
    // Taken out and read in one step. A program that is at this moment inside the entry, ten minutes after its last
    // event, would be lost; nothing closer is possible without a lock in every program.
    if (bpf_map_lookup_and_delete_elem(map, &key, &last) != 0) continue;
    retired_[tuple] += totals_of(last);
    activity_.erase(tuple);
  }
}

base::Result<void> ConnectProbe::Programs::open_errno_window(base::Instant now) {
  if (!has_connect_hook_) return base::fail(base::ErrorCode::kUnavailable, "the connect hook is not attached");
  errno_window_ends_ = now + kErrnoWindow;
  if (errno_link_) return {};
  const BpfMessages messages;
  bpf_link* const link = bpf_program__attach(object_.program("on_exit_connect"));
  if (link == nullptr) {
    return base::fail(
        base::ErrorCode::kUnavailable, "the exits of connect() cannot be seen",
        errno == ENOENT ? "mount tracefs at /sys/kernel/tracing" : what_is_missing(errno, messages.text()));
  }
  errno_link_.reset(link);
  return {};
}

void ConnectProbe::Programs::close_errno_window() { errno_link_.reset(); }

ConnectProbe::ConnectProbe(std::unique_ptr<Programs> programs) : programs_(std::move(programs)) {}
ConnectProbe::ConnectProbe(ConnectProbe&&) noexcept = default;
ConnectProbe& ConnectProbe::operator=(ConnectProbe&&) noexcept = default;
ConnectProbe::~ConnectProbe() = default;

base::Result<ConnectProbe> ConnectProbe::attach(const NetworkNamespace& network_namespace,
                                                const ConnectProbeOptions& options, SourceTable& table) {
  auto programs = std::make_unique<Programs>(options);
  if (auto attached = programs->attach(network_namespace, table); !attached) return tl::unexpected(attached.error());
  return ConnectProbe(std::move(programs));
}

base::Result<void> ConnectProbe::watch(const NetworkNamespace& network_namespace) {
  return programs_->watch(network_namespace);
}
bool ConnectProbe::sees_dropped_acks() const { return programs_->sees_dropped_acks(); }
int ConnectProbe::descriptor() const { return programs_->descriptor(); }
std::uint64_t ConnectProbe::drain(const Visitor& visit) { return programs_->drain(visit); }
base::Result<ConnectReading> ConnectProbe::read(base::Instant now) { return programs_->read(now); }
base::Result<void> ConnectProbe::open_errno_window(base::Instant now) { return programs_->open_errno_window(now); }

std::vector<base::Setting> settings_of(ConnectProbeOptions& options) {
  return {{"connects.hooks", "", "Whether BPF programs look at connects: as far as it is permitted, or not at all.",
           base::Setting::choice(options.hooks, {"automatic", "off"})},
          {"connects.slow", "", "A connect that takes longer is shown with its process.",
           base::Setting::Duration{&options.slow, base::Microseconds(10), base::Seconds(100)}},
          {"connects.max_tuples", "tuples", "Destinations that are counted one by one; 3 KB each, in the kernel.",
           base::Setting::Whole{&options.max_tuples, 16, 65'536}},
          {"connects.retire_after", "",
           "Idle destinations make room after this time, when the table is three quarters full.",
           base::Setting::Duration{&options.retire_after, base::Seconds(60), base::Seconds(86'400)}}};
}

}  // namespace tidewaiter::kernel
