// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"

struct bpf_object;
struct bpf_program;
struct bpf_link;
struct bpf_map;
struct ring_buffer;

/// What every loader of BPF programs needs of libbpf. Threads: one at a time.
namespace tidewaiter::kernel {

struct BpfLinkCloser {
  void operator()(bpf_link* link) const;
};
using BpfLink = std::unique_ptr<bpf_link, BpfLinkCloser>;

/// Keeps what libbpf says while it lives, instead of letting it out on standard error.
class BpfMessages {
 public:
  BpfMessages();
  BpfMessages(const BpfMessages&) = delete;
  BpfMessages& operator=(const BpfMessages&) = delete;
  ~BpfMessages();

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  static BpfMessages* current_;
  BpfMessages* outer_;
  std::string text_;

  friend struct BpfMessageSink;
};

/// The programs' clock, CLOCK_MONOTONIC.
[[nodiscard]] std::uint64_t monotonic_ns();

/// What is missing when a load or an attach failed with `error_number`: "CAP_PERFMON", "blocked by kernel policy",
/// "Linux 5.5 or later", … `messages`: what libbpf said meanwhile.
[[nodiscard]] std::string what_is_missing(int error_number, const std::string& messages);

/// Capabilities of this process out of CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN (CAP_SYS_ADMIN stands for all) that are
/// missing, as a list for people: "CAP_BPF, CAP_PERFMON"; empty: none is.
[[nodiscard]] std::string missing_capabilities(const std::vector<std::string>& needed);

/// The root of the cgroup v2 hierarchy, also where it stands beside v1; `place`: the directory that is taken for it
/// instead. Errors: kUnavailable without one.
[[nodiscard]] base::Result<base::FileDescriptor> open_cgroup_root(const std::string& place = "");

/// What is missing when a program could not be attached to a cgroup.
[[nodiscard]] std::string what_a_cgroup_lacks(int error_number);

}  // namespace tidewaiter::kernel
