// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <dirent.h>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "base/instant.h"
#include "base/settings.h"
#include "kernel/bypass_signs.h"
#include "telemetry/kernel_bypass.h"

namespace tidewaiter::kernel {

struct BypassOptions {
  std::uint64_t entries_per_look = 1'000;  ///< processes listed, mappings and descriptors; 0: never look
  base::Nanoseconds list_every = base::Seconds(5);
  base::Nanoseconds inspect_again = base::Seconds(600);
};

/// The settings of the watch, bound to `options`.
[[nodiscard]] std::vector<base::Setting> settings_of(BypassOptions& options);

/// Finds the processes of one network namespace whose packets go past the kernel: by their libraries and mappings
/// (/proc/PID/maps) and open devices (/proc/PID/fd). Looking into the processes of others needs CAP_SYS_PTRACE; those
/// that it may not look into are counted.
///
/// Each look does a little, whatever the host is like: it goes on where the last one stopped, in the middle of a
/// process if need be. A process is inspected when it is first listed, again after 1, 4, 16, … seconds (a shell that
/// starts the program in its place keeps its pid and start time) and then every `inspect_again`. It is known by pid and
/// start time.
///
/// Threads: one at a time. Uses one descriptor or two between looks.
class BypassWatch {
 public:
  /// `namespace_inode`: NetworkNamespace::inode(). `proc`: where procfs is; tests put a tree of their own there.
  explicit BypassWatch(std::uint64_t namespace_inode, const BypassOptions& options = {}, std::string proc = "/proc");

  /// Goes on with the inspection, and tells what is known now.
  [[nodiscard]] telemetry::BypassReport look(base::Instant now);

 private:
  enum class Standing : std::uint8_t {
    kPending,       ///< listed, not inspected yet
    kInspected,     ///< of this namespace
    kElsewhere,     ///< of another namespace, or a kernel thread, or a process that has ended
    kNotPermitted,  ///< it cannot be told
  };
  struct Process {
    Standing standing = Standing::kPending;
    bool is_queued = true;
    bool has_unread_descriptors = false;
    std::uint64_t start_time = 0;
    std::uint64_t round = 0;  ///< the listing that showed it last
    base::Nanoseconds pause{0};
    base::Instant due{};
    std::string comm;
    std::vector<BypassSign> signs;
  };
  struct CloseDirectory {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  using Directory = std::unique_ptr<DIR, CloseDirectory>;

  /// A process that is being inspected.
  struct Inspection {
    std::int32_t pid = 0;
    ProcessStat stat;
    base::FileDescriptor directory;  ///< /proc/PID: what is read under it is of this process, even if the pid is reused
    base::FileDescriptor maps;
    MapsReader reader;
    Directory descriptors;
    bool has_unread_descriptors = false;
    std::vector<BypassSign> signs;
  };

  /// Each does a step and returns how many entries it cost; 0: there is nothing to do now.
  std::uint64_t step(base::Instant now);
  std::uint64_t list_some(base::Instant now);
  std::uint64_t begin(std::int32_t pid, base::Instant now);
  std::uint64_t read_maps(base::Instant now);
  std::uint64_t read_descriptors(base::Instant now);

  void note_listed(std::int32_t pid, base::Instant now);
  void end_listing(base::Instant now);
  void open_descriptors();

  /// Ends the inspection, as a system call failed, or with what it came to.
  std::uint64_t fail(int error, base::Instant now);
  void settle(Standing standing, base::Instant now);
  [[nodiscard]] telemetry::BypassReport report() const;

  std::uint64_t namespace_inode_;
  BypassOptions options_;
  std::string proc_;
  std::map<std::int32_t, Process> processes_;
  std::deque<std::int32_t> queue_;
  std::optional<Inspection> current_;
  Directory listing_;
  std::uint64_t round_ = 0;
  std::optional<base::Instant> listed_;  ///< when the last listing ended
  bool has_listed_ = false;
  bool are_others_hidden_ = false;
};

}  // namespace tidewaiter::kernel
