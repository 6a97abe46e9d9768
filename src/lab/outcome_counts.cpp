// SPDX-License-Identifier: Apache-2.0
#include "lab/outcome_counts.h"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <new>
#include <sys/mman.h>

namespace tidewaiter::lab {

std::string to_string(const ErrorCounts& counts) {
  std::string text;
  for (const auto& [error, count] : counts) {
    const char* const name = error == 0 ? "connected" : strerrorname_np(error);
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, name != nullptr ? name : "of an unknown errno");
  }
  return text.empty() ? "nothing" : text;
}

void OutcomeCounts::Unmap::operator()(Shared* shared) const { munmap(shared, sizeof *shared); }

base::Result<OutcomeCounts> OutcomeCounts::create() {
  void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return base::fail_errno(errno, "map memory that processes share");
  return OutcomeCounts(new (memory) Shared{});
}

ErrorCounts OutcomeCounts::read() const {
  ErrorCounts counts;
  for (std::size_t error = 0; error < counts_->by_error.size(); ++error) {
    if (const auto count = counts_->by_error[error].load()) counts[static_cast<int>(error)] = count;
  }
  return counts;
}

std::optional<int> OutcomeCounts::skipped() const {
  const int error = counts_->skipped;
  return error != 0 ? std::optional(error) : std::nullopt;
}

}  // namespace tidewaiter::lab
