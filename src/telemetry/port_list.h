// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace tidewaiter::telemetry {

/// What holds a local port for a tuple.
enum class PortHolder : std::uint8_t {
  kLive,      ///< a connection, or one being made or closed
  kTimeWait,  ///< TIME_WAIT: free after `remaining_ms`, rounded up by the timer wheel
  kFinWait2,  ///< FIN_WAIT2 mini-socket: the peer's FIN restarts its 60 s
};

/// One local port in use by a tuple.
struct PortUse {
  std::uint64_t cookie = 0;        ///< which socket holds it
  std::uint32_t remaining_ms = 0;  ///< mini-sockets: until the timer is due; 0 also when overdue
  std::uint16_t port = 0;
  PortHolder holder = PortHolder::kLive;
  bool reusable = false;  ///< a TIME_WAIT that connect() may take over now

  [[nodiscard]] bool is_mini_socket() const { return holder != PortHolder::kLive; }
};

/// The ports of one tuple. Copies share their memory until one of them is edited, so that looks at a tuple in which
/// nothing happened cost nothing. Threads: as std::shared_ptr; shared lists are only read.
class PortList {
 public:
  PortList() = default;
  explicit PortList(std::vector<PortUse> ports) : ports_(std::make_shared<std::vector<PortUse>>(std::move(ports))) {}

  [[nodiscard]] std::size_t size() const { return ports_ ? ports_->size() : 0; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] const PortUse& operator[](std::size_t i) const { return (*ports_)[i]; }
  [[nodiscard]] const PortUse* begin() const { return ports_ ? ports_->data() : nullptr; }
  [[nodiscard]] const PortUse* end() const { return begin() + size(); }

  /// The list for changes: this one's own from then on.
  [[nodiscard]] std::vector<PortUse>& edit() {
    if (!ports_) {
      ports_ = std::make_shared<std::vector<PortUse>>();
    } else if (ports_.use_count() > 1) {
      ports_ = std::make_shared<std::vector<PortUse>>(*ports_);
    }
    return *ports_;
  }

  /// True when nothing can differ: the same memory, or both empty.
  [[nodiscard]] bool is_same_as(const PortList& other) const {
    return ports_ == other.ports_ || (empty() && other.empty());
  }

 private:
  std::shared_ptr<std::vector<PortUse>> ports_;
};

}  // namespace tidewaiter::telemetry
