// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace tidewaiter::agent {

/// Tells the service manager that started the agent ("READY=1"): one datagram to the socket that $NOTIFY_SOCKET names,
/// nothing where there is none. The protocol of sd_notify(3), whose manual page invites to this: the library would
/// bring six others into every start of the program. False when it could not be told. Reads the environment.
bool notify_service_manager(std::string_view state);

}  // namespace tidewaiter::agent
