// SPDX-License-Identifier: Apache-2.0
#include "board/shared_memory.h"

#include <cerrno>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace tidewaiter::board {
namespace {

#ifndef MFD_NOEXEC_SEAL
constexpr unsigned MFD_NOEXEC_SEAL = 8;  // Linux 6.3
#endif

}  // namespace

base::Result<base::FileDescriptor> open_memory(const char* name, std::size_t bytes) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  base::FileDescriptor memory(memfd_create(name, kFlags | MFD_NOEXEC_SEAL));
  if (!memory.is_open() && errno == EINVAL) memory = base::FileDescriptor(memfd_create(name, kFlags));
  if (!memory.is_open()) return base::fail_errno(errno, std::string("make a memfd, ") + name);
  if (ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0) {
    return base::fail_errno(errno, std::string("size of the memfd, ") + name);
  }
  return memory;
}

base::Result<SharedMemory> SharedMemory::map(int descriptor, std::size_t bytes, Access access, Pages pages) {
  const int protection = access == Access::kWrite ? PROT_READ | PROT_WRITE : PROT_READ;
  const int flags = pages == Pages::kEager ? MAP_SHARED | MAP_POPULATE : MAP_SHARED;
  void* const address = mmap(nullptr, bytes, protection, flags, descriptor, 0);
  if (address == MAP_FAILED) return base::fail_errno(errno, "map shared memory");
  return SharedMemory(static_cast<std::uint64_t*>(address), bytes);
}

SharedMemory::~SharedMemory() {
  if (words_ != nullptr) munmap(words_, bytes_);
}

}  // namespace tidewaiter::board
