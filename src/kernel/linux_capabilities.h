// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidewaiter::kernel {

/// Capabilities with the kernel's numbers (include/uapi/linux/capability.h); those that something here asks for.
enum class LinuxCapability : std::uint8_t {
  kDacReadSearch = 2,
  kSetPcap = 8,
  kNetAdmin = 12,
  kSysPtrace = 19,
  kSysAdmin = 21,
  kPerfmon = 38,  ///< Linux 5.8+; before, CAP_SYS_ADMIN
  kBpf = 39,      ///< likewise
};

/// "CAP_NET_ADMIN".
[[nodiscard]] std::string name(LinuxCapability capability);

/// False on kernels that are older than the capability.
[[nodiscard]] bool is_known_here(LinuxCapability capability);

/// A set of capabilities, those that this program has no word for included.
class CapabilitySet {
 public:
  constexpr CapabilitySet() = default;
  constexpr explicit CapabilitySet(std::uint64_t bits) : bits_(bits) {}
  constexpr CapabilitySet(std::initializer_list<LinuxCapability> capabilities) {
    for (const LinuxCapability capability : capabilities) bits_ |= bit(capability);
  }

  [[nodiscard]] constexpr std::uint64_t bits() const { return bits_; }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
  [[nodiscard]] constexpr bool has(LinuxCapability capability) const { return (bits_ & bit(capability)) != 0; }
  [[nodiscard]] constexpr bool contains(CapabilitySet other) const { return (other.bits_ & ~bits_) == 0; }

  /// By number: "CAP_CHOWN", …; one that is newer than this program is "CAP_41".
  [[nodiscard]] std::vector<std::string> names() const;
  /// The names with commas between, or "none".
  [[nodiscard]] std::string to_string() const;

  friend constexpr CapabilitySet operator&(CapabilitySet left, CapabilitySet right) {
    return CapabilitySet(left.bits_ & right.bits_);
  }
  friend constexpr CapabilitySet operator|(CapabilitySet left, CapabilitySet right) {
    return CapabilitySet(left.bits_ | right.bits_);
  }
  friend constexpr bool operator==(CapabilitySet, CapabilitySet) = default;

 private:
  static constexpr std::uint64_t bit(LinuxCapability capability) {
    return std::uint64_t{1} << static_cast<unsigned>(capability);
  }
  std::uint64_t bits_ = 0;
};

/// The five sets of a thread (capabilities(7)).
struct Capabilities {
  CapabilitySet effective;    ///< what it may do now
  CapabilitySet permitted;    ///< what it may make effective
  CapabilitySet inheritable;  ///< what a program with file capabilities may keep over execve()
  CapabilitySet bounding;     ///< what no execve() can go beyond
  CapabilitySet ambient;      ///< what an ordinary program keeps over execve()
  bool has_no_new_privileges = false;
};

/// The lines of /proc/PID/status. Errors: kMalformed. Kernels before 4.10 do not show has_no_new_privileges.
[[nodiscard]] base::Result<Capabilities> parse_capabilities(std::string_view status);

/// Of the calling thread. Errors: of the system.
[[nodiscard]] base::Result<Capabilities> capabilities_of_thread();

/// Gives up all capabilities but those in `keep` that the thread has, for good: effective and permitted become these,
/// inheritable and ambient empty, the bounding set loses the rest where CAP_SETPCAP allows it, and no_new_privs is set,
/// which keeps every later execve() from gaining any. Returns what is left. Without any capability it does no harm.
///
/// Capabilities are a thread's own, and threads are born with those of their parent: call it before they start. Errors:
/// kUnavailable when other threads of the process still have more; of the system.
[[nodiscard]] base::Result<Capabilities> drop_capabilities(CapabilitySet keep);

/// Takes one capability out of the calling thread's effective set for as long as it lives.
class WithoutCapability {
 public:
  explicit WithoutCapability(LinuxCapability capability);
  ~WithoutCapability();
  WithoutCapability(const WithoutCapability&) = delete;
  WithoutCapability& operator=(const WithoutCapability&) = delete;

 private:
  LinuxCapability capability_;
  bool is_changed_ = false;
};

}  // namespace tidewaiter::kernel
