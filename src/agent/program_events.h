// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "base/settings.h"
#include "board/event_collector.h"
#include "telemetry/order_events.h"
#include "telemetry/programs.h"

namespace tidewaiter::agent {

/// The event rings of programs, folded into what a window shows. Thread: the observer's.
class ProgramEvents {
 public:
  struct Options {
    board::EventCollector::Options collector;
    telemetry::OrderEvents::Options orders;
  };
  [[nodiscard]] static std::vector<base::Setting> settings_of(Options& options);

  /// Serves rings at `path`. `network_namespace`: inode of the one that is watched. Errors: as EventCollector::listen.
  [[nodiscard]] static base::Result<ProgramEvents> listen(Options options, const std::string& path,
                                                          std::uint64_t network_namespace);

  /// For the caller's epoll: then it is time to drain.
  [[nodiscard]] int descriptor() const { return collector_.descriptor(); }

  /// Takes in what was recorded before `now`. Never blocks.
  void drain(base::Instant now);

  /// Ends a window.
  void close(base::Instant now);

  /// As of the last close().
  [[nodiscard]] const telemetry::Programs& programs() const { return programs_; }

  /// What programs refused themselves in the last window, by tuple.
  [[nodiscard]] const std::map<telemetry::Tuple, std::uint32_t>& refused() const { return refused_; }

 private:
  static constexpr std::size_t kMostTuples = 1024;

  ProgramEvents(const Options& options, board::EventCollector collector, std::uint64_t network_namespace)
      : collector_(std::move(collector)), orders_(options.orders), network_namespace_(network_namespace) {}
  void take(const board::Producer& producer, const tw_event& event);
  [[nodiscard]] telemetry::TuplePrograms* place_of(const telemetry::Tuple& tuple);

  board::EventCollector collector_;
  telemetry::OrderEvents orders_;
  std::uint64_t network_namespace_;
  telemetry::Programs programs_;
  std::map<telemetry::Tuple, std::uint32_t> refused_;
  std::map<telemetry::Tuple, std::uint32_t> refused_now_;  ///< in the window that has not ended
};

}  // namespace tidewaiter::agent
