// SPDX-License-Identifier: Apache-2.0
#include "telemetry/port_plan.h"

#include <cassert>

namespace tidewaiter::telemetry {

PortPlan::PortPlan(const PortSettings& settings, const PortSet& owned) : settings_(settings) {
  assert(settings.lo <= settings.hi);
  for (std::uint32_t wide = settings.lo; wide <= settings.hi; ++wide) {
    const auto port = static_cast<std::uint16_t>(wide);
    if (settings.reserved.test(port)) {
      ++reserved_;
    } else if (owned.test(port)) {
      ++locked_;
    } else {
      usable_.set(port);
      if (is_preferred(port)) ++preferred_capacity_;
    }
  }
}

bool PortPlan::is_reuse_allowed(const Address& source, const Address& destination) const {
  if (!settings_.timestamps) return false;
  switch (settings_.reuse) {
    case TimeWaitReuse::kNever:
      return false;
    case TimeWaitReuse::kAlways:
      return true;
    case TimeWaitReuse::kLoopbackOnly:
      return source.is_loopback() || destination.is_loopback();
  }
  return false;
}

}  // namespace tidewaiter::telemetry
