// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/bpf_program.h"
#include "kernel/connect_options.h"
#include "kernel/source_table.h"

namespace tidewaiter::kernel {

/// Entries of the table of tuples beside those of the options: what found no room, and the canary.
inline constexpr std::uint32_t kReservedTuples = 2;

/// What the programs are told while they run: their global variables, in memory that they share with this process.
struct ConnectSettings {
  std::uint32_t* watched_netns = nullptr;   ///< inode; 0: none
  std::uint64_t* watched_cookie = nullptr;  ///< the same namespace
  std::uint64_t* slow_ns = nullptr;
  std::uint64_t* exits_since_ns = nullptr;  ///< calls that began from then on are looked at when connect() returns
  std::uint64_t* open_credits = nullptr;
  std::uint64_t* canary_cookie = nullptr;  ///< the socket whose connect is the canary; 0: none
};

/// The programs that see connects, loaded and attached in the best shape that goes here. They go with this object, or
/// with its process. Thread: one at a time. Move-only.
class ConnectPrograms {
 public:
  /// Tries the shapes that `options` allow, best first, each by a real load and attach, and adds a row per source to
  /// `table`. Errors: kNotPermitted when none could be attached; the table says what each needs.
  [[nodiscard]] static base::Result<ConnectPrograms> attach(const ConnectProbeOptions& options, SourceTable& table);

  [[nodiscard]] ConnectVariant variant() const { return variant_; }

  /// The descriptor of a map; negative: this shape has none of that name.
  [[nodiscard]] int map(const char* name) const;

  /// A program that is loaded and not attached; null: this shape has none.
  [[nodiscard]] bpf_program* loaded_program(const char* name) const;

  [[nodiscard]] bool is_attached(const char* program) const { return attached_.count(program) != 0; }

  /// connect() itself is seen, so failures before SYN_SENT are.
  [[nodiscard]] bool has_connect_hook() const { return is_attached("on_connect4") && is_attached("on_connect6"); }

  [[nodiscard]] const ConnectSettings& settings() const { return settings_; }

  /// Runs that the kernel left out because a program was interrupted by an event of its own.
  [[nodiscard]] std::uint64_t skipped_runs() const;

 private:
  friend class ConnectLoader;
  ConnectPrograms() = default;

  ConnectVariant variant_ = ConnectVariant::kTyped;
  std::shared_ptr<void> object_owner_;  // before the links: they go first
  bpf_object* object_ = nullptr;
  ConnectSettings settings_;
  std::vector<BpfLink> links_;
  std::set<std::string> attached_;
};

}  // namespace tidewaiter::kernel
