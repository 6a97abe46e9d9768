// SPDX-License-Identifier: Apache-2.0
#include "kernel/socket_iterator.h"

#include <algorithm>
#include <bpf/bpf.h>
#include <cerrno>
#include <unistd.h>
#include <utility>

#include "base/file_descriptor.h"
#include "base/stopwatch.h"
#include "kernel/bpf_program.h"
#include "kernel/socket_program.h"

namespace tidewaiter::kernel {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{64} * 1024;  // the kernel hands out at most 32 KiB at once
constexpr KernelVersion kShowsEachOnce{6, 17, 0};
constexpr KernelVersion kLoadsItself{5, 17, 0};

static_assert(sizeof(tw_socket_walk::listening) == sizeof(telemetry::PortSet::Words));

}  // namespace

bool shows_each_once(const KernelVersion& version) { return version >= kShowsEachOnce; }

void SocketIterator::Unloader::operator()(tw_socket_program* program) const {
  tw_socket_program_unload(program);
  delete program;
}

SocketIterator::SocketIterator(Program program, Tick tick)
    : program_(std::move(program)), tick_(tick), buffer_(kBufferBytes) {}

base::Result<SocketIterator> SocketIterator::load() {
  if (const std::string missing = missing_capabilities({"CAP_BPF", "CAP_PERFMON"}); !missing.empty()) {
    return base::fail(base::ErrorCode::kNotPermitted, missing);
  }
  const auto version = running_kernel();
  if (version && *version < kLoadsItself) return base::fail(base::ErrorCode::kUnavailable, "Linux 5.17 or later");
  const auto hz = kernel_hz();
  if (!hz) return base::fail(base::ErrorCode::kUnavailable, "a kernel that tells the length of its tick");
  tw_socket_program loaded{};
  if (const int error = tw_socket_program_load(&loaded); error != 0) {
    return base::fail(base::ErrorCode::kUnavailable, what_is_missing(-error, {}));
  }
  return SocketIterator(Program(new tw_socket_program(loaded)), Tick(*hz));
}

base::Result<WalkCost> SocketIterator::walk(const telemetry::PortSettings& settings,
                                            const telemetry::PortSet& listening, telemetry::RowSink& sink) {
  tw_socket_walk& shared = *program_->walk;
  std::copy(listening.words().begin(), listening.words().end(), std::begin(shared.listening));
  shared.lo = settings.lo;
  shared.hi = settings.hi;
  shared.left_out = shared.left_out_in_range = shared.left_out_in_range_mini = 0;
  // The iterator belongs to the namespace in which it is opened.
  const base::FileDescriptor iterator(bpf_iter_create(program_->link));
  if (!iterator.is_open()) return base::fail_errno(errno, "open the iterator over TCP sockets");
  WalkCost cost;
  if (auto done = read_all(iterator.get(), sink, cost); !done) return tl::unexpected(done.error());
  cost.left_out = shared.left_out;
  cost.left_out_in_range = static_cast<std::uint32_t>(shared.left_out_in_range);
  cost.left_out_in_range_mini = static_cast<std::uint32_t>(shared.left_out_in_range_mini);
  return cost;
}

base::Result<void> SocketIterator::read_all(int iterator, telemetry::RowSink& sink, WalkCost& cost) {
  std::size_t kept = 0;  // of a record whose end has not come yet
  while (true) {
    const base::Stopwatch in_kernel;
    const ssize_t length = ::read(iterator, buffer_.data() + kept, buffer_.size() - kept);
    cost.kernel += in_kernel.elapsed();
    // After a million sockets without a record the kernel wants to be asked again.
    if (length < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (length < 0) return base::fail_errno(errno, "walk the TCP sockets");
    if (length == 0) break;
    const std::size_t filled = kept + static_cast<std::size_t>(length);
    const auto chunk = parse_sockets(std::span(buffer_).first(filled), tick_, sink);
    if (!chunk) return tl::unexpected(chunk.error());
    cost.rows += chunk->rows;
    kept = filled - chunk->bytes;
    std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(chunk->bytes), kept, buffer_.begin());
  }
  if (kept != 0) return base::fail(base::ErrorCode::kMalformed, "the walk over TCP sockets ended within a record");
  return {};
}

}  // namespace tidewaiter::kernel
