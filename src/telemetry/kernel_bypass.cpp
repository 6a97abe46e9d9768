// SPDX-License-Identifier: Apache-2.0
#include "telemetry/kernel_bypass.h"

namespace tidewaiter::telemetry {

std::string_view name(BypassKind kind) {
  switch (kind) {
    case BypassKind::kOnload:
      return "onload";
    case BypassKind::kTcpDirect:
      return "tcpdirect";
    case BypassKind::kEfVi:
      return "ef_vi";
    case BypassKind::kVma:
      return "vma";
    case BypassKind::kXlio:
      return "xlio";
    case BypassKind::kExasock:
      return "exasock";
    case BypassKind::kDpdk:
      return "dpdk";
    case BypassKind::kDevice:
      return "device";
  }
  return "";
}

}  // namespace tidewaiter::telemetry
