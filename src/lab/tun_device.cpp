// SPDX-License-Identifier: Apache-2.0
#include "lab/tun_device.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "lab/rtnetlink.h"

namespace tidewaiter::lab {
namespace {

constexpr const char* kName = "tun0";

}  // namespace

base::Result<base::FileDescriptor> make_tun_device(const Network& network, const std::vector<TunAddress>& addresses) {
  return network.run([&]() -> base::Result<base::FileDescriptor> {
    base::FileDescriptor device(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!device.is_open()) return base::fail_errno(errno, "open /dev/net/tun");
    ifreq request{};
    std::strncpy(request.ifr_name, kName, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(device.get(), TUNSETIFF, &request) != 0) return base::fail_errno(errno, "make a tun device");
    for (const TunAddress& own : addresses) {
      if (auto up = set_up_interface(kName, own.address, own.prefix); !up) return tl::unexpected(up.error());
    }
    return device;
  });
}

}  // namespace tidewaiter::lab
