// SPDX-License-Identifier: Apache-2.0
#include "bench/question.h"

namespace tidewaiter::bench {
namespace {

class Startup final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "startup"; }
  [[nodiscard]] std::string summary() const override { return "How long until the program has started and ended?"; }

  void answer(const Conditions& conditions, Report& report) override {
    const std::string reference = find_program("true");
    if (reference.empty()) return report.skip(name(), "there is no `true` in PATH");
    // A start takes about a millisecond: more pairs for the same time.
    const auto pairs = compare_commands(4 * conditions.pairs(), {conditions.program, "--version"}, {reference});
    if (!pairs) return report.skip(name(), pairs.error());
    Row row = row_of("startup: --version, wall; beside true", "ms",
                     pairs->by([](const CommandCost& cost) { return in_milliseconds(cost.wall); }));
    row.bar = Bar{10, Bar::On::kOurs};
    row.note = "making the process, dynamic linking, and reaping included, in both";
    report.add(row);
  }
};

const Registration kRegistration([] { return std::make_unique<Startup>(); });

}  // namespace
}  // namespace tidewaiter::bench
