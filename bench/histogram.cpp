// SPDX-License-Identifier: Apache-2.0
#include "telemetry/histogram.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <memory>
#include <random>

#include "bench/question.h"

namespace tidewaiter::bench {
namespace {

constexpr std::size_t kDurations = 4096;

/// What one would write first: a count per power of two.
class PowersOfTwo {
 public:
  void add(base::Nanoseconds duration) { ++counts_[std::bit_width(static_cast<std::uint64_t>(duration.count()))]; }

 private:
  std::array<std::uint64_t, 65> counts_{};
};

/// And the other one: a map from the duration, rounded down to 7 significant binary digits, to a count.
class Mapped {
 public:
  void add(base::Nanoseconds duration) {
    const auto ns = static_cast<std::uint64_t>(duration.count());
    const int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - 7);
    ++counts_[ns >> shift << shift];
  }

 private:
  std::map<std::uint64_t, std::uint64_t> counts_;
};

/// connect() as it looks: log-normal, median 100 us, a sigma of one decade.
std::vector<base::Nanoseconds> durations() {
  std::mt19937_64 random(20'260'101);  // NOLINT: the same every time
  std::lognormal_distribution<double> distribution(std::log(1e5), std::log(10.0));
  std::vector<base::Nanoseconds> result(kDurations);
  for (auto& duration : result) duration = base::Nanoseconds(std::llround(std::min(distribution(random), 1e11)));
  return result;
}

template <class Histogram>
Repeated adding_to(Histogram& histogram, const std::vector<base::Nanoseconds>& values) {
  return Repeated(
      [&] {
        for (const auto value : values) {
          histogram.add(value);
          keep(histogram);
        }
      },
      static_cast<double>(values.size()));
}

class HistogramAdd final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "histogram"; }
  [[nodiscard]] std::string summary() const override { return "What does it cost to count one duration?"; }

  void answer(const Conditions& conditions, Report& report) override {
    const auto values = durations();
    auto ours = std::make_unique<telemetry::Histogram>();
    PowersOfTwo powers;
    Mapped mapped;
    Row beside_powers = row_of("histogram: add; beside counts per power of two", "ns",
                               compare(conditions.pairs(), adding_to(*ours, values), adding_to(powers, values)));
    beside_powers.bar = Bar{10, Bar::On::kOurs};
    beside_powers.note = "log-normal durations, 4096 in turn; the reference has 65 buckets and no sum";
    report.add(beside_powers);
    Row beside_map = row_of("histogram: add; beside a std::map of the same precision", "ns",
                            compare(conditions.pairs(), adding_to(*ours, values), adding_to(mapped, values)));
    report.add(beside_map);
  }
};

const Registration kRegistration([] { return std::make_unique<HistogramAdd>(); });

}  // namespace
}  // namespace tidewaiter::bench
