// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace tidewaiter::kernel {

/// A network namespace that this process can look into: its own ("self"), one by the name that `ip netns` gave it, or
/// one by path ("/proc/1234/ns/net"). Holding one keeps the namespace alive, but not its name.
class NetworkNamespace {
 public:
  /// Errors: kNotFound with the names that exist; kNotPermitted; kInvalidArgument when the path is no network
  /// namespace.
  [[nodiscard]] static base::Result<NetworkNamespace> open(std::string_view name_or_path);

  /// As the user wrote it; "self" for the own namespace.
  [[nodiscard]] const std::string& label() const { return label_; }
  [[nodiscard]] bool is_self() const { return !target_.is_open(); }

  /// False once the name or path no longer leads to this namespace (deleted, or replaced by another of that name).
  [[nodiscard]] bool is_still_there() const;

  /// The inode of the namespace, by which the processes in it are known (/proc/PID/ns/net). Errors: of the system.
  [[nodiscard]] base::Result<std::uint64_t> inode() const;

  /// Runs `work` with the calling thread inside the namespace and brings the thread back, whatever `work` returns.
  /// Sockets and /proc/thread-self/net files opened there stay there. Needs CAP_SYS_ADMIN unless self.
  /// Errors: what setns said, else what `work` returned. A thread that cannot come back aborts the process.
  template <class Work>
  [[nodiscard]] auto run(Work&& work) const -> decltype(work()) {
    if (is_self()) return work();
    auto entered = enter();
    if (!entered) return tl::unexpected(std::move(entered).error());
    const Return way_back{std::move(*entered)};
    return work();
  }

 private:
  struct Return {
    base::FileDescriptor home;
    ~Return();
  };

  /// Moves the thread in; the descriptor leads back.
  [[nodiscard]] base::Result<base::FileDescriptor> enter() const;

  std::string label_ = "self";
  std::string path_;
  base::FileDescriptor target_;
};

}  // namespace tidewaiter::kernel
