// SPDX-License-Identifier: Apache-2.0
#include "lab/network.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <thread>

namespace tidewaiter::lab {
namespace {

base::Result<void> bring_loopback_up() {
  const base::FileDescriptor control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(control.get(), SIOCSIFFLAGS, &request) != 0) return base::fail_errno(errno, "bring loopback up");
  return {};
}

/// In a thread of its own: a thread that cannot come back is no loss.
base::Result<base::FileDescriptor> make_namespace() {
  if (unshare(CLONE_NEWNET) != 0) {
    auto failure = base::fail_errno(errno, "make a network namespace");
    failure.value().hint = "run as root, or with CAP_SYS_ADMIN";
    return failure;
  }
  base::FileDescriptor descriptor(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!descriptor.is_open()) return base::fail_errno(errno, "open the new network namespace");
  if (auto up = bring_loopback_up(); !up) return tl::unexpected(up.error());
  return descriptor;
}

}  // namespace

base::Result<Network> Network::create() {
  base::Result<base::FileDescriptor> made;
  std::thread([&made] { made = make_namespace(); }).join();
  if (!made) return tl::unexpected(made.error());
  auto opened = kernel::NetworkNamespace::open(fmt::format("/proc/self/fd/{}", made->get()));
  if (!opened) return tl::unexpected(opened.error());
  return Network(std::move(*made), std::move(*opened));
}

base::Result<void> Network::set(std::string_view sysctl, std::string_view value) const {
  return run([&]() -> base::Result<void> {
    std::string path = "/proc/sys/" + std::string(sysctl);
    std::replace(path.begin(), path.end(), '.', '/');
    const base::FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.is_open()) return base::fail_errno(errno, std::string(sysctl));
    if (::write(file.get(), value.data(), value.size()) < 0) {
      return base::fail_errno(errno, fmt::format("set {} to '{}'", sysctl, value));
    }
    return {};
  });
}

}  // namespace tidewaiter::lab
