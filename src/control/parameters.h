// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/instant.h"
#include "control/state.h"

namespace tidewaiter::control {

enum class PoolReuse : std::uint8_t { kPrefer, kKeepAlive, kWarmPreferred, kWarmOnly };
enum class OptionalReconnects : std::uint8_t { kYes, kPaced, kPaused, kFrozen };
enum class NonUrgentFlow : std::uint8_t { kSend, kSendCapped, kContained };
enum class UrgencyOverride : std::uint8_t { kFree, kLogged, kApproval };

[[nodiscard]] std::string_view name(PoolReuse value);
[[nodiscard]] std::string_view name(OptionalReconnects value);
[[nodiscard]] std::string_view name(NonUrgentFlow value);
[[nodiscard]] std::string_view name(UrgencyOverride value);

/// The order group: what a state asks of child orders. Absent = the desk's own parameter ("legacy").
struct OrderParameters {
  double clip_scale = 1.0;                 ///< fraction of the child's size
  base::Nanoseconds launch_jitter_max{0};  ///< full jitter, only where a new connection is needed
  std::optional<double> catch_up_cap;      ///< multiple of the scheduled rate
  NonUrgentFlow non_urgent_flow = NonUrgentFlow::kSend;
  UrgencyOverride urgency_override = UrgencyOverride::kFree;

  friend bool operator==(const OrderParameters&, const OrderParameters&) = default;
};

/// The connection group: hygiene of connects and retries, per destination. Absent = legacy, or no limit.
struct ConnectionParameters {
  std::optional<double> retry_rate_per_s;
  std::optional<double> retry_burst;
  std::uint64_t max_new_connects = 64;       ///< in flight
  std::optional<double> connect_rate_per_s;  ///< new connects
  PoolReuse pool_reuse = PoolReuse::kPrefer;
  OptionalReconnects optional_reconnects = OptionalReconnects::kYes;

  friend bool operator==(const ConnectionParameters&, const ConnectionParameters&) = default;
};

struct Parameters {
  OrderParameters order;
  ConnectionParameters connection;

  friend bool operator==(const Parameters&, const Parameters&) = default;
};

/// Field by field the stricter of the two.
[[nodiscard]] ConnectionParameters stricter(const ConnectionParameters& left, const ConnectionParameters& right);

/// A row of the table "parameters by state". The connect rate is a share there, of what the tuple can sustain.
struct StateParameters {
  Parameters parameters;
  std::optional<double> connect_rate_share;
};

/// Who acts on a parameter group: nobody, nobody but it is recorded what would be done, or everybody.
enum class Mode : std::uint8_t { kOff, kShadow, kEnforce };
[[nodiscard]] std::string_view name(Mode mode);

struct Modes {
  Mode connection = Mode::kEnforce;
  Mode order = Mode::kShadow;

  friend bool operator==(const Modes&, const Modes&) = default;
};

}  // namespace tidewaiter::control
