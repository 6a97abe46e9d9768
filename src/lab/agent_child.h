// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "lab/child_program.h"
#include "lab/connect_tally.h"
#include "lab/context.h"
#include "lab/network.h"
#include "output/documents.h"

namespace tidewaiter::lab {

/// A state as the documents write it: "GREEN" to "RED", or "STALE". How bad it is; absent for STALE.
[[nodiscard]] std::optional<int> severity_of(const std::string& state);
inline constexpr int kYellow = 1;
inline constexpr int kOrange = 2;
inline constexpr int kRed = 3;

/// Why a state is as it is, as the agent said it.
struct SeenReason {
  std::string condition;
  std::string text;   ///< "ppr_preferred 0.72 >= 0.7"
  std::string plain;  ///< the same for people: "72 % of the preferred ports in use"
};

/// One tuple in a window. Absent = null in the document.
struct SeenTuple {
  std::string source;
  std::string destination;
  std::uint16_t port = 0;  ///< of the destination
  std::string state;
  std::string order_state;  ///< what orders are bound by
  bool has_peer_fault = false;
  std::vector<SeenReason> reasons;  ///< of the state now
  std::optional<double> p_stress;
  std::optional<double> ppr;
  std::optional<double> ppr_preferred;
  std::optional<double> free;
  std::optional<double> free_preferred;
  std::optional<double> demand_per_s;
  std::optional<double> time_to_cliff_s;
  std::optional<double> time_to_exhaustion_s;
  std::optional<Tally> connects;  ///< since the agent began
  std::optional<double> port_search_p95_us;
  std::optional<double> rbi;
  std::optional<double> retry_rate_per_s;
};

struct SeenTransition {
  double t_s = 0;  ///< since the scenario began
  std::string scope;
  std::optional<std::uint16_t> port;  ///< of the tuple's destination
  std::string from;
  std::string to;
  std::string trigger;
  std::vector<SeenReason> reasons;

  [[nodiscard]] std::string because() const;   ///< all reasons in one line
  [[nodiscard]] std::string in_short() const;  ///< the first few that differ, for people
};

/// One line of `tidewaiter run --json-lines`: tidewaiter.window/1.
struct SeenWindow {
  double t_s = 0;         ///< since the scenario began, by the document's own time
  base::Instant arrived;  ///< here
  std::uint64_t number = 0;
  std::string state;
  std::vector<SeenTuple> tuples;
  std::vector<SeenTransition> transitions;
  std::optional<Tally> connects;                  ///< of all tuples
  std::map<std::string, std::uint64_t> lost;      ///< events, by source
  std::map<std::string, std::string> not_active;  ///< sources that are not, and what they need

  /// What connects are seen by, and what is missing for it: "active", or "needs CAP_PERFMON".
  [[nodiscard]] std::string connect_source() const;

  /// Null when the tuple is not in the window: nothing goes there.
  [[nodiscard]] const SeenTuple* find(std::uint16_t port) const;
};

/// Errors: kMalformed, with what is wrong.
[[nodiscard]] base::Result<SeenWindow> parse_window(const OutputLine& line, const Context& context);

struct AgentOptions {
  std::filesystem::path state_directory;
  std::string interval = "1s";
  std::string listen = "127.0.0.1:9650";  ///< in a namespace of the lab's own, where nobody else is
  std::string configuration = {};         ///< text of its file; empty: none
};

/// `tidewaiter run --json-lines` as a child in a network of the lab.
class AgentChild {
 public:
  /// Returns after its first window. Errors: that it did not come, with what the agent said.
  [[nodiscard]] static base::Result<std::unique_ptr<AgentChild>> start(Context& context, const Network& network,
                                                                       const AgentOptions& options);

  /// Absent when none came by `deadline`. Errors: a line that is no window; the agent has ended.
  [[nodiscard]] base::Result<std::optional<SeenWindow>> next_window(base::Instant deadline);

  /// The one that start() waited for.
  [[nodiscard]] const SeenWindow& first_window() const { return first_; }

  [[nodiscard]] ChildProgram& process() { return *child_; }

  /// SIGINT. Errors: exit code other than 0, or still running after `patience`.
  [[nodiscard]] base::Result<void> stop(base::Nanoseconds patience = base::Seconds(5));

 private:
  AgentChild(Context& context, std::unique_ptr<ChildProgram> child) : context_(context), child_(std::move(child)) {}
  [[nodiscard]] base::Error gone() const;

  Context& context_;
  std::unique_ptr<ChildProgram> child_;
  SeenWindow first_;
};

}  // namespace tidewaiter::lab
