// SPDX-License-Identifier: Apache-2.0
#include "telemetry/sample.h"

namespace tidewaiter::telemetry {

std::string_view name(LookSource source) {
  switch (source) {
    case LookSource::kSockDiag:
      return "sock_diag";
    case LookSource::kIterator:
      return "bpf_iter";
  }
  return "";
}

}  // namespace tidewaiter::telemetry
