// SPDX-License-Identifier: Apache-2.0
#include "telemetry/port_plan.h"

#include <cassert>

namespace tidewaiter::telemetry {

PortPlan::PortPlan() {
  static const PortPlan kDefault{PortSettings{}, PortSet{}};
  *this = kDefault;
}

PortPlan::PortPlan(const PortSettings& settings, const PortSet& owned)
    : settings_(settings), usable_(PortSet::range(settings.lo, settings.hi)) {
  assert(settings.lo <= settings.hi);
  usable_ -= settings.reserved;
  const std::uint32_t unreserved = usable_.count();
  reserved_ = size() - unreserved;
  usable_ -= owned;
  locked_ = unreserved - usable_.count();
  preferred_capacity_ = settings.lo % 2 == 0 ? usable_.count_even() : usable_.count_odd();
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
