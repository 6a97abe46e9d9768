// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/result.h"

namespace tidewaiter::lab {

/// A process for as long as the machine runs: a number that is used again is another process.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< since boot

  [[nodiscard]] static ProcessIdentity own();
  [[nodiscard]] static std::optional<ProcessIdentity> of(pid_t pid);

  /// "1234-567890", and back.
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] static std::optional<ProcessIdentity> parse(std::string_view text);

  [[nodiscard]] bool is_alive() const { return of(pid) == *this; }

  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

/// The variable in the environment of every process that a lab starts; its value is the lab's identity.
inline constexpr const char* kOwnerVariable = "TIDEWAITER_LAB";

/// What the names of the lab's directories and cgroups begin with; the owner's identity follows.
inline constexpr std::string_view kLeftoverPrefix = "tidewaiter-lab-";

/// Whether a temporary directory stays when the object goes.
enum class Keep : std::uint8_t { kNo, kYes };

/// A directory of the lab's own below `root`, removed with all that is in it unless it is to be kept.
class TemporaryDirectory {
 public:
  [[nodiscard]] static base::Result<TemporaryDirectory> create(const std::filesystem::path& root,
                                                               Keep keep = Keep::kNo);
  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::exchange(other.path_, {})), keep_(other.keep_) {}
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  TemporaryDirectory(std::filesystem::path path, Keep keep) : path_(std::move(path)), keep_(keep) {}
  std::filesystem::path path_;
  Keep keep_;
};

/// Ends the processes and removes the cgroups and the directories below `root` that labs which are gone left behind
/// (SIGKILL, a crash).
/// Namespaces and veth pairs need no search: they go with their last process. What was removed, for people.
[[nodiscard]] std::vector<std::string> remove_leftovers(const std::filesystem::path& root);

}  // namespace tidewaiter::lab
