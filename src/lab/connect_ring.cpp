// SPDX-License-Identifier: Apache-2.0
#include "lab/connect_ring.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tidewaiter::lab {

void ConnectRing::Unmap::operator()(std::byte* memory) const { munmap(memory, length); }

bool ConnectRing::map(Mapping& mapping, std::size_t length, unsigned long long place) const {
  void* const memory =
      mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring_.get(), static_cast<off_t>(place));
  if (memory == MAP_FAILED) return false;
  mapping = Mapping(static_cast<std::byte*>(memory), Unmap{length});
  return true;
}

unsigned* ConnectRing::word(const Mapping& mapping, unsigned offset) {
  return reinterpret_cast<unsigned*>(mapping.get() + offset);
}

base::Result<ConnectRing> ConnectRing::create() {
  ConnectRing ring;
  io_uring_params& parameters = ring.parameters_;
  ring.ring_ = base::FileDescriptor(static_cast<int>(syscall(SYS_io_uring_setup, 1, &parameters)));
  if (!ring.ring_.is_open()) return base::fail_errno(errno, "set up an io_uring");
  const auto& submission = parameters.sq_off;
  const auto& completion = parameters.cq_off;
  if (!ring.map(ring.submissions_, submission.array + parameters.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING) ||
      !ring.map(ring.completions_, completion.cqes + parameters.cq_entries * sizeof(io_uring_cqe),
                IORING_OFF_CQ_RING) ||
      !ring.map(ring.entries_, parameters.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES)) {
    return base::fail_errno(errno, "map an io_uring");
  }
  return ring;
}

int ConnectRing::connect(const base::FileDescriptor& socket, const SocketAddress& to) {
  auto* const entry = reinterpret_cast<io_uring_sqe*>(entries_.get());
  *entry = {};
  entry->opcode = IORING_OP_CONNECT;
  entry->fd = socket.get();
  entry->addr = reinterpret_cast<std::uintptr_t>(to.get());
  entry->off = to.length;
  *word(submissions_, parameters_.sq_off.array) = 0;
  std::atomic_ref<unsigned>(*word(submissions_, parameters_.sq_off.tail)).fetch_add(1, std::memory_order_release);
  while (syscall(SYS_io_uring_enter, ring_.get(), 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) < 0) {
    if (errno != EINTR) return errno;
  }
  std::atomic_ref<unsigned> head(*word(completions_, parameters_.cq_off.head));
  const unsigned mask = *word(completions_, parameters_.cq_off.ring_mask);
  const auto* const results = reinterpret_cast<io_uring_cqe*>(completions_.get() + parameters_.cq_off.cqes);
  const int result = results[head.load(std::memory_order_acquire) & mask].res;
  head.fetch_add(1, std::memory_order_release);
  return -result;
}

}  // namespace tidewaiter::lab
