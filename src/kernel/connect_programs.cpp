// SPDX-License-Identifier: Apache-2.0
#include "kernel/connect_programs.h"

#include <algorithm>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <set>
#include <skeletons/connects.skel.h>
#include <skeletons/connects_cgroup.skel.h>
#include <skeletons/connects_cgroup_plain.skel.h>
#include <skeletons/connects_raw.skel.h>
#include <span>
#include <string_view>
#include <utility>

namespace tidewaiter::kernel {
namespace {

/// A program and the source that it is a part of.
struct ProgramRow {
  const char* program;
  const char* source;
  bool is_required;  ///< without it the shape is of no use
};
constexpr std::array<ProgramRow, 8> kTypedTracepoints{{{"on_state", "bpf_state", true},
                                                       {"on_connect4", "bpf_connect", false},
                                                       {"on_connect6", "bpf_connect", false},
                                                       {"on_destroy", "bpf_state_repair", false},
                                                       {"on_retransmit", "bpf_syn_retransmits", false},
                                                       {"on_error_report", "bpf_icmp_errors", false},
                                                       {"on_retransmit_synack", "bpf_synack_retransmits", false},
                                                       {"on_drop", "bpf_dropped_acks", false}}};
constexpr std::array<ProgramRow, 6> kRawTracepoints{{{"on_state", "bpf_state", true},
                                                     {"on_destroy", "bpf_state_repair", false},
                                                     {"on_retransmit", "bpf_syn_retransmits", false},
                                                     {"on_error_report", "bpf_icmp_errors", false},
                                                     {"on_retransmit_synack", "bpf_synack_retransmits", false},
                                                     {"on_drop", "bpf_dropped_acks", false}}};
constexpr std::array<ProgramRow, 4> kCgroupHooks{{{"on_socket", "bpf_cgroup_state", true},
                                                  {"on_socket", "bpf_syn_retransmits", true},
                                                  {"on_connect4", "bpf_connect", true},
                                                  {"on_connect6", "bpf_connect", true}}};
constexpr std::array<ProgramRow, 5> kPlainCgroupHooks{{{"on_socket", "bpf_cgroup_state", true},
                                                       {"on_socket", "bpf_syn_retransmits", true},
                                                       {"on_connect4", "bpf_connect", true},
                                                       {"on_connect6", "bpf_connect", true},
                                                       {"on_setsockopt", "bpf_port_probes", false}}};

/// Loaded along, and attached while it is needed.
constexpr const char* kOnDemand = "on_exit_connect";

struct Skeleton {
  std::shared_ptr<void> owner;
  bpf_object* object = nullptr;
  ConnectSettings settings;
};
using Loader = base::Result<Skeleton> (*)(const std::set<std::string>& programs, const ConnectProbeOptions& options);

/// The functions of one skeleton.
template <auto Open, auto Load, auto Destroy>
base::Result<Skeleton> load_skeleton(const std::set<std::string>& programs, const ConnectProbeOptions& options) {
  const BpfMessages messages;
  const auto refused = [&](int error) {
    return base::fail(base::ErrorCode::kUnavailable, what_is_missing(error, messages.text()));
  };
  bpf_object_open_opts how{};
  how.sz = sizeof how;
  const std::string& types = options.surroundings.kernel_types;
  if (!types.empty()) how.btf_custom_path = types.c_str();
  auto* const skeleton = Open(&how);
  if (skeleton == nullptr) return refused(errno);
  std::shared_ptr<void> owner(static_cast<void*>(skeleton), [skeleton](void*) { Destroy(skeleton); });
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    bpf_program__set_autoload(program, programs.count(bpf_program__name(program)) != 0);
  }
  bpf_map__set_max_entries(skeleton->maps.connects, static_cast<__u32>(options.max_tuples) + kReservedTuples);
  if (const int error = Load(skeleton); error != 0) return refused(-error);
  const auto wide = [](auto* value) { return reinterpret_cast<std::uint64_t*>(const_cast<__u64*>(value)); };
  ConnectSettings settings;
  settings.watched_netns = const_cast<__u32*>(&skeleton->bss->watched_netns);
  settings.watched_cookie = wide(&skeleton->bss->watched_cookie);
  settings.slow_ns = wide(&skeleton->data->slow_ns);
  settings.exits_since_ns = wide(&skeleton->bss->exits_since_ns);
  settings.open_credits = wide(&skeleton->bss->open_credits);
  settings.canary_cookie = wide(&skeleton->bss->canary_cookie);
  return Skeleton{std::move(owner), skeleton->obj, settings};
}

/// One way to see connects.
struct Shape {
  ConnectVariant variant;
  std::span<const ProgramRow> programs;
  Loader load;
  bool reads_kernel_structures;  ///< CAP_PERFMON
  bool is_of_cgroup;             ///< CAP_NET_ADMIN
};
const std::array<Shape, 4> kShapes{
    {{ConnectVariant::kTyped, kTypedTracepoints,
      load_skeleton<connects_bpf__open_opts, connects_bpf__load, connects_bpf__destroy>, true, false},
     {ConnectVariant::kRaw, kRawTracepoints,
      load_skeleton<connects_raw_bpf__open_opts, connects_raw_bpf__load, connects_raw_bpf__destroy>, true, false},
     {ConnectVariant::kCgroup, kCgroupHooks,
      load_skeleton<connects_cgroup_bpf__open_opts, connects_cgroup_bpf__load, connects_cgroup_bpf__destroy>, true,
      true},
     {ConnectVariant::kCgroupPlain, kPlainCgroupHooks,
      load_skeleton<connects_cgroup_plain_bpf__open_opts, connects_cgroup_plain_bpf__load,
                    connects_cgroup_plain_bpf__destroy>,
      false, true}}};

bool is_wanted(const Shape& shape, const ConnectProbeOptions& options) {
  if (options.surroundings.shape) return shape.variant == *options.surroundings.shape;
  switch (options.hooks) {
    case ConnectHooks::kAutomatic:
      return true;
    case ConnectHooks::kTracepoints:
      return !shape.is_of_cgroup;
    case ConnectHooks::kCgroup:
      return shape.is_of_cgroup;
    case ConnectHooks::kOff:
      return false;
  }
  return false;
}

std::string missing_capabilities_of(const Shape& shape) {
  std::vector<std::string> needed{"CAP_BPF"};
  if (shape.is_of_cgroup) needed.emplace_back("CAP_NET_ADMIN");
  if (shape.reads_kernel_structures) needed.emplace_back("CAP_PERFMON");
  return missing_capabilities(needed);
}

bool is_of_cgroup(const bpf_program* program) {
  const bpf_prog_type type = bpf_program__type(program);
  return type == BPF_PROG_TYPE_CGROUP_SOCK_ADDR || type == BPF_PROG_TYPE_SOCK_OPS ||
         type == BPF_PROG_TYPE_CGROUP_SOCKOPT;
}

/// Why programs are missing, by name.
using Reasons = std::map<std::string, std::string>;

}  // namespace

/// Makes a ConnectPrograms, and remembers what was in the way.
class ConnectLoader {
 public:
  explicit ConnectLoader(const ConnectProbeOptions& options) : options_(options) {}

  base::Result<ConnectPrograms> attach(SourceTable& table) {
    for (const Shape& shape : kShapes) {
      if (!is_wanted(shape, options_)) {
        obstacles_[shape.variant] = "connects.hooks = \"automatic\" in the configuration";
        continue;
      }
      if (try_shape(shape)) {
        add_rows(&shape, table);
        return std::move(programs_);
      }
    }
    add_rows(nullptr, table);
    return base::fail(base::ErrorCode::kNotPermitted,
                      fmt::format("connects cannot be seen: needs {}", obstacle(best_wanted())));
  }

 private:
  bool try_shape(const Shape& shape);
  std::optional<Skeleton> load_what_goes(const Shape& shape);
  bool attach_program(bpf_program* program, const char* name);
  void add_rows(const Shape* chosen, SourceTable& table) const;
  [[nodiscard]] SourceRow row(const Shape* chosen, const char* source) const;
  [[nodiscard]] std::string obstacle(ConnectVariant variant) const;
  [[nodiscard]] ConnectVariant best_wanted() const;

  const ConnectProbeOptions& options_;
  ConnectPrograms programs_;
  Reasons missing_;                                  ///< programs of the shape that is tried
  std::map<ConnectVariant, std::string> obstacles_;  ///< shapes that could not be had
};

/// All at once; when that fails each alone, and then those that could be.
std::optional<Skeleton> ConnectLoader::load_what_goes(const Shape& shape) {
  std::set<std::string> programs{kOnDemand};
  for (const ProgramRow& row : shape.programs) programs.insert(row.program);
  if (const std::string no_admin = missing_capabilities({"CAP_NET_ADMIN"}); !no_admin.empty() && !shape.is_of_cgroup) {
    for (const char* program : {"on_connect4", "on_connect6"}) {
      if (programs.erase(program) != 0) missing_[program] = no_admin;
    }
  }
  if (auto all = shape.load(programs, options_); all) return std::move(*all);
  for (auto program = programs.begin(); program != programs.end();) {
    const auto alone = shape.load({*program}, options_);
    if (!alone) missing_.emplace(*program, alone.error().message());
    program = alone ? std::next(program) : programs.erase(program);
  }
  for (const ProgramRow& row : shape.programs) {
    if (row.is_required && programs.count(row.program) == 0) return std::nullopt;
  }
  auto some = shape.load(programs, options_);
  if (!some) {
    missing_.emplace(shape.programs.front().program, some.error().message());
    return std::nullopt;
  }
  return std::move(*some);
}

bool ConnectLoader::attach_program(bpf_program* program, const char* name) {
  const BpfMessages messages;
  bpf_link* link = nullptr;
  if (is_of_cgroup(program)) {
    const auto cgroup = open_cgroup_root(options_.surroundings.cgroup_root);
    if (!cgroup) {
      missing_[name] = cgroup.error().message();
      return false;
    }
    link = bpf_program__attach_cgroup(program, cgroup->get());
    if (link == nullptr) missing_[name] = what_a_cgroup_lacks(errno);
  } else {
    link = bpf_program__attach(program);
    if (link == nullptr) missing_[name] = what_is_missing(errno, messages.text());
  }
  if (link == nullptr) return false;
  programs_.links_.emplace_back(link);
  programs_.attached_.insert(name);
  return true;
}

bool ConnectLoader::try_shape(const Shape& shape) {
  programs_ = ConnectPrograms();
  missing_.clear();
  const auto first_obstacle = [&]() -> std::string {
    for (const ProgramRow& row : shape.programs) {
      if (const auto reason = missing_.find(row.program); row.is_required && reason != missing_.end())
        return reason->second;
    }
    return "memory for its maps";
  };
  if (std::string lacking = missing_capabilities_of(shape); !lacking.empty()) {
    obstacles_[shape.variant] = std::move(lacking);
    return false;
  }
  auto skeleton = load_what_goes(shape);
  if (!skeleton) {
    obstacles_[shape.variant] = first_obstacle();
    return false;
  }
  programs_.variant_ = shape.variant;
  programs_.object_owner_ = std::move(skeleton->owner);
  programs_.object_ = skeleton->object;
  programs_.settings_ = skeleton->settings;
  for (const ProgramRow& row : shape.programs) {
    if (missing_.count(row.program) != 0 || programs_.is_attached(row.program)) continue;
    bpf_program* const program = bpf_object__find_program_by_name(programs_.object_, row.program);
    if (attach_program(program, row.program) || !row.is_required) continue;
    obstacles_[shape.variant] = first_obstacle();
    return false;
  }
  return true;
}

std::string ConnectLoader::obstacle(ConnectVariant variant) const {
  const auto known = obstacles_.find(variant);
  return known == obstacles_.end() ? "" : known->second;
}

ConnectVariant ConnectLoader::best_wanted() const {
  for (const Shape& shape : kShapes) {
    if (is_wanted(shape, options_)) return shape.variant;
  }
  return ConnectVariant::kTyped;
}

/// Whether a source is active in the chosen shape, and what it needs.
SourceRow ConnectLoader::row(const Shape* chosen, const char* source) const {
  bool is_known = false;
  for (const ProgramRow& row : chosen == nullptr ? std::span<const ProgramRow>{} : chosen->programs) {
    if (std::string_view(row.source) != source) continue;
    is_known = true;
    if (const auto reason = missing_.find(row.program); reason != missing_.end())
      return {source, 1, false, reason->second};
  }
  if (is_known) return {source, 1, true, ""};
  const bool is_of_best = chosen == nullptr && std::string_view(source) != "bpf_state";
  return {source, 1, false, obstacle(is_of_best ? best_wanted() : ConnectVariant::kTyped)};
}

void ConnectLoader::add_rows(const Shape* chosen, SourceTable& table) const {
  table.push_back(row(chosen, "bpf_state"));
  if (chosen == nullptr || chosen->is_of_cgroup) {
    table.push_back(row(chosen, "bpf_cgroup_state"));
    if (chosen == nullptr) table.back().needs = obstacle(ConnectVariant::kCgroupPlain);
  }
  for (const char* source : {"bpf_connect", "bpf_state_repair", "bpf_syn_retransmits", "bpf_icmp_errors",
                             "bpf_synack_retransmits", "bpf_dropped_acks"}) {
    table.push_back(row(chosen, source));
  }
  const bool is_plain = chosen != nullptr && !chosen->reads_kernel_structures;
  const bool has_causes = chosen != nullptr && !is_plain;
  const ConnectVariant teller = is_plain ? ConnectVariant::kCgroup : best_wanted();
  table.push_back({"bpf_connect_causes", 1, has_causes, has_causes ? "" : obstacle(teller)});
  if (is_plain) table.push_back(row(chosen, "bpf_port_probes"));
}

base::Result<ConnectPrograms> ConnectPrograms::attach(const ConnectProbeOptions& options, SourceTable& table) {
  return ConnectLoader(options).attach(table);
}

int ConnectPrograms::map(const char* name) const { return bpf_object__find_map_fd_by_name(object_, name); }

bpf_program* ConnectPrograms::loaded_program(const char* name) const {
  bpf_program* const program = bpf_object__find_program_by_name(object_, name);
  return program != nullptr && bpf_program__fd(program) >= 0 ? program : nullptr;
}

std::uint64_t ConnectPrograms::skipped_runs() const {
  std::uint64_t skipped = 0;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object_) {
    const int descriptor = bpf_program__fd(program);
    bpf_prog_info info{};
    __u32 size = sizeof info;
    if (descriptor >= 0 && bpf_obj_get_info_by_fd(descriptor, &info, &size) == 0) skipped += info.recursion_misses;
  }
  return skipped;
}

}  // namespace tidewaiter::kernel
