// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "base/settings.h"
#include "kernel/diag_socket.h"
#include "kernel/network_namespace.h"
#include "kernel/network_settings.h"
#include "telemetry/census_builder.h"
#include "telemetry/sample.h"

namespace tidewaiter::kernel {

/// How much of the socket table a look walks.
enum class LookDepth : std::uint8_t {
  kAutomatic,  ///< everything while the namespace is small; above that only what port pressure needs
  kFull,       ///< everything: half-open counts of every listener, and ports locked by bound idle sockets
};

struct LookOptions {
  LookDepth depth = LookDepth::kAutomatic;

  /// Sockets up to which an automatic look is a full one. Beyond it the kernel is asked to leave out the sockets of
  /// listeners' ports outside the range (at 100,000 sockets a quarter of the cost), and half-open counts are taken
  /// only while some accept queue is not empty.
  std::uint64_t full_up_to_sockets = 20'000;
};

/// The settings of a look, bound to `options`.
[[nodiscard]] std::vector<base::Setting> settings_of(LookOptions& options);

/// The census of one network namespace from sock_diag and /proc: tier 0, no privilege needed in the own namespace.
/// Remembers from look to look who listened: the connections of a server that has closed its LISTEN socket are not
/// taken for outbound ones for as long as the last of them can stay (two TIME_WAITs and a granule). Thread: one at a
/// time.
class Census {
 public:
  explicit Census(NetworkNamespace network_namespace, LookOptions options = {})
      : namespace_(std::move(network_namespace)), options_(options) {}

  /// One look. Errors: kUnavailable when the name of the namespace has gone or the kernel does not answer,
  /// kNotPermitted when another namespace cannot be entered. After an error the next look starts afresh.
  [[nodiscard]] base::Result<telemetry::Sample> look(base::Moment now);

  [[nodiscard]] const NetworkNamespace& network_namespace() const { return namespace_; }

 private:
  [[nodiscard]] base::Result<telemetry::Sample> look_inside(base::Moment now);
  [[nodiscard]] bool is_full_look(const Counters& counters, telemetry::Sample& sample) const;
  [[nodiscard]] base::Result<void> dump(const DiagRequest& request, telemetry::RowSink& sink,
                                        telemetry::LookCost& cost);
  [[nodiscard]] base::Result<void> look_at_queues(bool half_open_counted, telemetry::ListenerBuilder& listeners,
                                                  telemetry::Sample& sample);

  /// The ports that listened within the last 125 s and do no more.
  [[nodiscard]] telemetry::PortSet former_listeners(const telemetry::PortSet& listening, base::Instant now);

  NetworkNamespace namespace_;
  LookOptions options_;
  std::unordered_map<std::uint16_t, base::Instant> last_listening_;
  std::optional<DiagSocket> socket_;
};

}  // namespace tidewaiter::kernel
