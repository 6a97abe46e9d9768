// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "agent/configuration.h"
#include "base/instant.h"
#include "base/result.h"
#include "serve/listen_address.h"

namespace tidewaiter::agent {

inline constexpr std::size_t kDefaultMaxTuples = 64;

struct Options {
  serve::ListenAddress listen{"127.0.0.1", 9650};
  std::string state_directory;  ///< must be given; default_state_directory() is a good one
  std::string instance;         ///< empty: default_instance()
  std::string netns = "self";
  base::Nanoseconds interval = base::Seconds(1);  ///< 100 ms to 60 s
  std::optional<base::Nanoseconds> duration;      ///< absent: until SIGINT or SIGTERM
  std::size_t max_tuples = kDefaultMaxTuples;     ///< with time series and journal rows of their own
  bool json_lines = false;                        ///< a tidewaiter.window/1 per line on standard output
  Configuration configuration;
};

/// What a person is told while the agent runs.
struct Announcements {
  std::function<void(const serve::ListenAddress&)> ready;  ///< the first window is published
};

/// The agent: observes, decides, publishes, until it is told to stop. The calling thread is the observer; the journal,
/// the lines and HTTP have threads of their own. SIGINT and SIGTERM are taken while it runs (blocked for the process).
///
/// Errors: lines that could not be written; all others before the first window: kUnavailable when the address, the
/// state directory or the namespace cannot be had, kNotPermitted, kInvalidArgument. Later trouble is counted, logged
/// once and told by the state.
[[nodiscard]] base::Result<void> run(const Options& options, const Announcements& announcements);

}  // namespace tidewaiter::agent
