// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "base/result.h"

namespace tidewaiter::bench {

/// The middle of what was measured, and how far it spreads.
struct Spread {
  double median = 0;
  double lower_quartile = 0;
  double upper_quartile = 0;
};

/// Quartiles with linear interpolation. `values` not empty.
[[nodiscard]] Spread spread_of(std::vector<double> values);

/// Two things measured in turns, so that whatever else the machine does meets both.
struct Comparison {
  Spread ours;
  Spread reference;
  Spread ratio;  ///< of reference / ours, pair by pair: not the ratio of the two medians
  std::size_t pairs = 0;
};

/// `ours` and `reference`: figures in the order in which they were taken, equally many, not empty.
[[nodiscard]] Comparison comparison_of(const std::vector<double>& ours, const std::vector<double>& reference);

/// Calls A, B, A, B …; the first pair warms up and is thrown away.
[[nodiscard]] Comparison compare(std::size_t pairs, const std::function<double()>& ours,
                                 const std::function<double()>& reference);

/// Makes the compiler believe that `value` is read and that all memory may have changed.
template <class Value>
void keep(const Value& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

/// Units for Repeated that turn its nanoseconds per unit into milliseconds or microseconds per call.
inline constexpr double kInMilliseconds = 1e6;
inline constexpr double kInMicroseconds = 1e3;

/// Work that is repeated often enough to be timed, as nanoseconds per unit.
class Repeated {
 public:
  /// `units`: what one call of `work` counts as.
  Repeated(std::function<void()> work, double units);

  /// Runs `work` as often as it takes to fill about 20 ms (found at the first call). Nanoseconds per unit.
  [[nodiscard]] double operator()();

 private:
  [[nodiscard]] base::Nanoseconds time(std::size_t calls) const;

  std::function<void()> work_;
  double units_;
  std::size_t calls_ = 0;
};

/// What one run of a program took.
struct CommandCost {
  base::Nanoseconds wall{0};    ///< from before it was made to after it was reaped
  base::Nanoseconds user{0};    ///< of the process and the children that it waited for; sampled where the kernel ticks
  base::Nanoseconds system{0};  ///< only the sum of the two is exact
  double resident_peak_bytes = 0;
  std::string output;  ///< standard output, where it was asked for

  [[nodiscard]] base::Nanoseconds cpu() const { return user + system; }
};

/// What becomes of a program's standard output.
enum class Output : std::uint8_t { kDiscard, kCapture };

/// Runs argv[0], an absolute path, to its end. The resident peak of a program is never below what the caller held when
/// it started the program, because the kernel carries the mark through exec: callers who care stay small.
/// Errors: it could not start, or its exit status is not 0.
[[nodiscard]] base::Result<CommandCost> run_command(const std::vector<std::string>& argv,
                                                    Output output = Output::kDiscard);

/// Runs of two programs in turns.
struct CommandPairs {
  std::vector<CommandCost> ours;
  std::vector<CommandCost> reference;

  /// One figure of each run.
  [[nodiscard]] Comparison by(const std::function<double(const CommandCost&)>& figure) const;
};

/// The first pair warms up and is thrown away.
[[nodiscard]] base::Result<CommandPairs> compare_commands(std::size_t pairs, const std::vector<std::string>& ours,
                                                          const std::vector<std::string>& reference);

/// Where `name` is in PATH; empty when it is not.
[[nodiscard]] std::string find_program(const std::string& name);

[[nodiscard]] inline double in_milliseconds(base::Nanoseconds duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace tidewaiter::bench
