// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <fmt/format.h>

#include "base/stopwatch.h"
#include "bench/dump_reader.h"
#include "bench/question.h"
#include "bench/socket_farm.h"
#include "kernel/census.h"

namespace tidewaiter::bench {
namespace {

constexpr std::size_t kSome = 10'000;
constexpr std::size_t kMany = 100'000;

base::Result<kernel::Census> census_here(kernel::LookDepth depth) {
  auto self = kernel::NetworkNamespace::open("self");
  if (!self) return tl::unexpected(self.error());
  kernel::LookOptions options;
  options.depth = depth;
  return kernel::Census(std::move(*self), options);
}

base::Result<double> look_us(kernel::Census& census) {
  const base::Stopwatch stopwatch;
  const auto sample = census.look({std::chrono::steady_clock::now(), std::chrono::system_clock::now()});
  if (!sample) return tl::unexpected(sample.error());
  keep(*sample);
  return in_milliseconds(stopwatch.elapsed()) * 1000;
}

base::Result<double> dump_us(DumpReader& reader) {
  const base::Stopwatch stopwatch;
  if (auto read = reader.read(every_connection(), [](auto) {}); !read) return tl::unexpected(read.error());
  return in_milliseconds(stopwatch.elapsed()) * 1000;
}

class LookCost final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "look"; }
  [[nodiscard]] std::string summary() const override { return "What does one look in a running process cost?"; }

  void answer(const Conditions& conditions, Report& report) override {
    pairs_ = conditions.pairs();
    beside_dump_in_empty_namespace(report);
    if (auto farm = SocketFarm::build(kSome)) {
      measure_rows(*farm, report, "look at 10000",
                   [&] { return beside_dump("look at 10000; beside the dump only", 1); });
    } else {
      report.skip("look at 10000", farm.error());
    }
    if (auto farm = SocketFarm::build(kMany)) {
      measure_rows(*farm, report, "look at 100000", [&] { return automatic_beside_full(); });
    } else {
      report.skip("look at 100000", farm.error());
    }
  }

 private:
  using Rows = base::Result<std::vector<Row>>;

  void beside_dump_in_empty_namespace(Report& report) const {
    const auto network = kernel::testing::PrivateNetwork::create();
    if (!network) return report.skip("look in an empty namespace", network.error());
    const auto rows = beside_dump("look in an empty namespace; beside the dump only", 20);
    if (!rows) return report.skip("look in an empty namespace", rows.error());
    for (const Row& row : *rows) report.add(row);
  }

  /// `looks`: how many looks one figure is the mean of.
  [[nodiscard]] Rows beside_dump(const std::string& row_name, int looks) const {
    auto census = census_here(kernel::LookDepth::kAutomatic);
    if (!census) return tl::unexpected(census.error());
    auto reader = DumpReader::open();
    if (!reader) return tl::unexpected(reader.error());
    std::vector<double> ours;
    std::vector<double> reference;
    for (std::size_t pair = 0; pair <= pairs_; ++pair) {
      double our_sum = 0;
      double reference_sum = 0;
      for (int i = 0; i < looks; ++i) {
        const auto look = look_us(*census);
        if (!look) return tl::unexpected(look.error());
        our_sum += *look;
      }
      for (int i = 0; i < looks; ++i) {
        const auto dump = dump_us(*reader);
        if (!dump) return tl::unexpected(dump.error());
        reference_sum += *dump;
      }
      if (pair == 0) continue;
      ours.push_back(our_sum / looks);
      reference.push_back(reference_sum / looks);
    }
    Row row = row_of(row_name, "us", comparison_of(ours, reference));
    row.note = "the reference walks the table once; a look reads settings and lists the listeners as well";
    return std::vector<Row>{row};
  }

  [[nodiscard]] Rows automatic_beside_full() const {
    auto automatic = census_here(kernel::LookDepth::kAutomatic);
    auto full = census_here(kernel::LookDepth::kFull);
    if (!automatic) return tl::unexpected(automatic.error());
    if (!full) return tl::unexpected(full.error());
    std::vector<double> ours;
    std::vector<double> reference;
    for (std::size_t pair = 0; pair <= pairs_; ++pair) {
      const auto automatic_us = look_us(*automatic);
      if (!automatic_us) return tl::unexpected(automatic_us.error());
      const auto full_us = look_us(*full);
      if (!full_us) return tl::unexpected(full_us.error());
      if (pair == 0) continue;
      ours.push_back(*automatic_us);
      reference.push_back(*full_us);
    }
    Row row = row_of("look at 100000, automatic; beside a full one", "us", comparison_of(ours, reference));
    row.note = "the automatic look leaves the listener's 25000 sockets in the kernel";
    return std::vector<Row>{row};
  }

  std::size_t pairs_ = 0;
};

const Registration kRegistration([] { return std::make_unique<LookCost>(); });

}  // namespace
}  // namespace tidewaiter::bench
