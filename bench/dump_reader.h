// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "kernel/diag_wire.h"

namespace tidewaiter::bench {

/// A dump of the calling thread's namespace, read and not looked at: what any program pays the kernel at least.
class DumpReader {
 public:
  static constexpr std::uint32_t kSequence = 1;

  [[nodiscard]] static base::Result<DumpReader> open();

  /// Hands over each datagram as it came; the last one says "done".
  [[nodiscard]] base::Result<void> read(const kernel::DiagRequest& request,
                                        const std::function<void(std::span<const std::byte>)>& visit);

 private:
  base::FileDescriptor socket_;
  std::vector<std::byte> buffer_;
};

/// The states that a census asks for, listeners aside.
[[nodiscard]] kernel::DiagRequest every_connection();

}  // namespace tidewaiter::bench
