// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <utility>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "kernel/network_namespace.h"

namespace tidewaiter::lab {

/// An anonymous network namespace with loopback up. Only descriptors hold it: it goes with this object and the last
/// process and socket in it, whatever ends the lab, and has no name under /run/netns.
class Network {
 public:
  /// Errors: kNotPermitted without CAP_SYS_ADMIN, kUnavailable where the kernel has no network namespaces.
  [[nodiscard]] static base::Result<Network> create();

  /// Writes a setting of this namespace: set("net.ipv4.ip_local_port_range", "40000 41999").
  [[nodiscard]] base::Result<void> set(std::string_view sysctl, std::string_view value) const;

  /// Runs `work`, which returns a Result, with the calling thread inside and brings the thread back. Sockets opened and
  /// processes started there stay there.
  template <class Work>
  [[nodiscard]] auto run(Work&& work) const {
    return namespace_.run(std::forward<Work>(work));
  }

  /// Of the namespace, for netlink and setns().
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }

 private:
  Network(base::FileDescriptor descriptor, kernel::NetworkNamespace network_namespace)
      : descriptor_(std::move(descriptor)), namespace_(std::move(network_namespace)) {}

  base::FileDescriptor descriptor_;
  kernel::NetworkNamespace namespace_;
};

}  // namespace tidewaiter::lab
