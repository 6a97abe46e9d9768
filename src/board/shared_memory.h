// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace tidewaiter::board {

/// A new memfd that can be sealed, of `bytes` bytes that no file system knows. Errors: what the kernel said.
[[nodiscard]] base::Result<base::FileDescriptor> open_memory(const char* name, std::size_t bytes);

/// Memory of other processes in this one's address space: an array of words, aligned to pages. Move-only.
class SharedMemory {
 public:
  enum class Access : std::uint8_t { kRead, kWrite };

  /// kEager: all pages at once, so that no access on a hot path meets one for the first time.
  enum class Pages : std::uint8_t { kEager, kLazy };

  /// Maps `bytes` bytes of `descriptor`, which must have them. Errors: what mmap said.
  [[nodiscard]] static base::Result<SharedMemory> map(int descriptor, std::size_t bytes, Access access,
                                                      Pages pages = Pages::kEager);

  SharedMemory(SharedMemory&& other) noexcept
      : words_(std::exchange(other.words_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    std::swap(words_, other.words_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  [[nodiscard]] bool is_mapped() const { return words_ != nullptr; }

  /// The word at an offset in bytes, a multiple of 8 within the memory. Of a kRead mapping it can only be read.
  [[nodiscard]] std::uint64_t* word(std::size_t offset) const { return words_ + offset / sizeof(std::uint64_t); }

 private:
  SharedMemory(std::uint64_t* words, std::size_t bytes) : words_(words), bytes_(bytes) {}

  std::uint64_t* words_;
  std::size_t bytes_;
};

}  // namespace tidewaiter::board
