// SPDX-License-Identifier: Apache-2.0
#include "kernel/socket_changes.h"

#include <algorithm>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <skeletons/socket_changes.skel.h>
#include <string>
#include <sys/epoll.h>
#include <utility>
#include <vector>

#include "base/file_descriptor.h"
#include "kernel/bpf_program.h"
#include "kernel/socket_change_decode.h"

namespace tidewaiter::kernel {
namespace {

struct SkeletonCloser {
  void operator()(socket_changes_bpf* skeleton) const { socket_changes_bpf__destroy(skeleton); }
};
struct RingCloser {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

tl::unexpected<base::Error> refused(int error, const BpfMessages& messages) {
  return base::fail(base::ErrorCode::kUnavailable, what_is_missing(error, messages.text()));
}

}  // namespace

class SocketChanges::Programs {
 public:
  base::Result<void> load();
  base::Result<void> start(const NetworkNamespace& network_namespace, const telemetry::PortSet& left_out);
  void stop();
  std::uint64_t drain(const Visitor& visit);
  [[nodiscard]] std::uint64_t lost() const;
  [[nodiscard]] std::optional<Ticks> read_ticks() const;
  [[nodiscard]] bool is_running() const { return !links_.empty(); }
  [[nodiscard]] int descriptor() const { return epoll_.get(); }

 private:
  base::Result<void> attach();
  static int on_change(void* self, void* bytes, size_t size);

  std::unique_ptr<socket_changes_bpf, SkeletonCloser> skeleton_;
  base::FileDescriptor epoll_;
  std::unique_ptr<ring_buffer, RingCloser> ring_;
  std::vector<BpfLink> links_;
  const Visitor* visitor_ = nullptr;
  std::uint64_t malformed_ = 0;
};

base::Result<void> SocketChanges::Programs::load() {
  {
    const BpfMessages messages;
    skeleton_.reset(socket_changes_bpf__open());
    if (!skeleton_) return refused(errno, messages);
    if (const int error = socket_changes_bpf__load(skeleton_.get()); error != 0) return refused(-error, messages);
  }
  epoll_ = base::FileDescriptor(epoll_create1(EPOLL_CLOEXEC));
  epoll_event interest{};
  interest.events = EPOLLIN;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, bpf_map__fd(skeleton_->maps.changes), &interest) != 0) {
    return base::fail_errno(errno, "watch the ring of socket changes");
  }
  auto attached = attach();
  links_.clear();
  return attached;
}

base::Result<void> SocketChanges::Programs::attach() {
  const BpfMessages messages;
  for (bpf_program* const program : {skeleton_->progs.on_change, skeleton_->progs.on_retransmit}) {
    bpf_link* const link = bpf_program__attach(program);
    if (link == nullptr) {
      const int error = errno;
      links_.clear();
      return refused(error, messages);
    }
    links_.emplace_back(link);
  }
  return {};
}

base::Result<void> SocketChanges::Programs::start(const NetworkNamespace& network_namespace,
                                                  const telemetry::PortSet& left_out) {
  const auto inode = network_namespace.inode();
  if (!inode) return tl::unexpected(inode.error());
  if (!ring_) {
    ring_.reset(ring_buffer__new(bpf_map__fd(skeleton_->maps.changes), on_change, this, nullptr));
    if (!ring_) return base::fail_errno(errno, "map the ring of socket changes");
  }
  std::copy(left_out.words().begin(), left_out.words().end(), std::begin(skeleton_->bss->left_out));
  skeleton_->bss->watched_netns = static_cast<std::uint32_t>(*inode);
  drain([](const telemetry::SocketChange&) {});
  return is_running() ? base::Result<void>() : attach();
}

void SocketChanges::Programs::stop() {
  links_.clear();
  ring_.reset();
}

int SocketChanges::Programs::on_change(void* self, void* bytes, size_t size) {
  auto& programs = *static_cast<Programs*>(self);
  if (const auto change = socket_change_of({static_cast<const std::byte*>(bytes), size})) {
    (*programs.visitor_)(*change);
  } else {
    ++programs.malformed_;
  }
  return 0;
}

std::uint64_t SocketChanges::Programs::drain(const Visitor& visit) {
  if (!ring_) return 0;
  visitor_ = &visit;
  const int consumed = ring_buffer__consume(ring_.get());
  return consumed > 0 ? static_cast<std::uint64_t>(consumed) : 0;
}

std::uint64_t SocketChanges::Programs::lost() const {
  std::uint64_t lost = skeleton_->bss->lost + malformed_;
  for (const bpf_program* const program : {skeleton_->progs.on_change, skeleton_->progs.on_retransmit}) {
    bpf_prog_info info{};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0) lost += info.recursion_misses;
  }
  return lost;
}

std::optional<SocketChanges::Ticks> SocketChanges::Programs::read_ticks() const {
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  if (bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.read_clocks), &options) != 0) return std::nullopt;
  return Ticks{base::Instant(base::Nanoseconds(static_cast<std::int64_t>(skeleton_->bss->clock_ns))),
               skeleton_->bss->clock_jiffies};
}

SocketChanges::SocketChanges(std::unique_ptr<Programs> programs) : programs_(std::move(programs)) {}
SocketChanges::SocketChanges(SocketChanges&&) noexcept = default;
SocketChanges& SocketChanges::operator=(SocketChanges&&) noexcept = default;
SocketChanges::~SocketChanges() = default;

base::Result<SocketChanges> SocketChanges::load() {
  if (const std::string missing = missing_capabilities({"CAP_BPF", "CAP_PERFMON"}); !missing.empty()) {
    return base::fail(base::ErrorCode::kNotPermitted, missing);
  }
  auto programs = std::make_unique<Programs>();
  if (auto loaded = programs->load(); !loaded) return tl::unexpected(loaded.error());
  return SocketChanges(std::move(programs));
}

base::Result<void> SocketChanges::start(const NetworkNamespace& network_namespace, const telemetry::PortSet& left_out) {
  return programs_->start(network_namespace, left_out);
}
void SocketChanges::stop() { programs_->stop(); }
bool SocketChanges::is_running() const { return programs_->is_running(); }
int SocketChanges::descriptor() const { return programs_->descriptor(); }
std::uint64_t SocketChanges::drain(const Visitor& visit) { return programs_->drain(visit); }
std::uint64_t SocketChanges::lost() const { return programs_->lost(); }
std::optional<SocketChanges::Ticks> SocketChanges::read_ticks() const { return programs_->read_ticks(); }

}  // namespace tidewaiter::kernel
