// SPDX-License-Identifier: Apache-2.0
#include "kernel/connect_options.h"

namespace tidewaiter::kernel {

std::vector<base::Setting> settings_of(ConnectProbeOptions& options) {
  return {
      {"connects.hooks", "",
       "Which hooks look at connects: tracepoints (CAP_BPF, CAP_PERFMON), cgroup (CAP_BPF, CAP_NET_ADMIN), the best "
       "that is permitted, or none.",
       base::Setting::choice(options.hooks, {"automatic", "tracepoints", "cgroup", "off"})},
      {"connects.slow", "", "A connect that takes longer is shown with its process.",
       base::Setting::Duration{&options.slow, base::Microseconds(10), base::Seconds(100)}},
      {"connects.max_tuples", "tuples", "Destinations that are counted one by one; 3 KB each, in the kernel.",
       base::Setting::Whole{&options.max_tuples, 16, 65'536}},
      {"connects.retire_after", "",
       "Idle destinations make room after this time, when the table is three quarters full.",
       base::Setting::Duration{&options.retire_after, base::Seconds(60), base::Seconds(86'400)}},
      {"connects.canary_every", "",
       "The agent makes a connect itself this often, to see whether the hooks see it: to port 0 of loopback, in no "
       "count.",
       base::Setting::Duration{&options.canary_every, base::Seconds(1), base::Seconds(86'400)}}};
}

}  // namespace tidewaiter::kernel
